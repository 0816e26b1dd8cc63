"""The long-running scraper: consumes crawl requests, supervises crawls, schedules sources."""

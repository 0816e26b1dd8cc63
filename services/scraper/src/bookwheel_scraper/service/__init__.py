"""The scraper service: reads crawl requests, supervises crawl processes and schedules sources."""

"""Downloader middlewares: same site, robots.txt, retries, charsets and crawl limits."""

"""Downloader middlewares: same site, robots.txt, retries, charsets, caps."""

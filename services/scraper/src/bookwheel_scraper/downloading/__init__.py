"""How pages are fetched: Scrapy's downloader middlewares of our own, each with one job."""

"""Scrapy settings for a source."""

from typing import Any

from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import SPIDER_MODULE, Source

_MIDDLEWARES = "bookwheel_scraper.middlewares"
_SCRAPY = "scrapy.downloadermiddlewares"


def scrapy_settings(source: Source, settings: ScraperSettings) -> dict[str, Any]:
    politeness = source.politeness
    return {
        "SPIDER_MODULES": [SPIDER_MODULE],
        "USER_AGENT": settings.user_agent,
        "ROBOTSTXT_OBEY": politeness.obey_robots,
        "ROBOTSTXT_USER_AGENT": "Bookwheel",
        "DOWNLOAD_DELAY": politeness.delay,
        "CONCURRENT_REQUESTS": politeness.concurrency,
        # One task per page is enough, because the publisher buffers an item immediately.
        "CONCURRENT_ITEMS": 1,
        "CONCURRENT_REQUESTS_PER_DOMAIN": politeness.concurrency,
        "AUTOTHROTTLE_ENABLED": politeness.autothrottle,
        "AUTOTHROTTLE_START_DELAY": max(politeness.delay, 0.5),
        "AUTOTHROTTLE_TARGET_CONCURRENCY": max(1.0, politeness.concurrency / 2),
        "DOWNLOAD_TIMEOUT": 30,
        "DOWNLOAD_MAXSIZE": source.caps.page_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_VERIFY_CERTIFICATES": True,
        "RETRY_TIMES": 5,
        "REDIRECT_MAX_TIMES": 5,
        # First in, first out: the products of a list are fetched before the products of the next list. The queue stays
        # a few pages long.
        "SCHEDULER_MEMORY_QUEUE": "scrapy.squeues.FifoMemoryQueue",
        "SCRAPER_SLOT_MAX_ACTIVE_SIZE": 4_000_000,
        "DOWNLOADER_MIDDLEWARES": {
            f"{_SCRAPY}.offsite.OffsiteMiddleware": None,
            f"{_MIDDLEWARES}.same_site.SameSiteMiddleware": 50,
            f"{_SCRAPY}.robotstxt.RobotsTxtMiddleware": None,
            f"{_MIDDLEWARES}.same_site.RobotsMiddleware": 100,
            f"{_SCRAPY}.retry.RetryMiddleware": None,
            f"{_MIDDLEWARES}.retries.RetryMiddleware": 550,
            f"{_MIDDLEWARES}.charsets.CharsetMiddleware": 585,
            f"{_MIDDLEWARES}.crawl_limits.CrawlLimitsMiddleware": 950,
        },
        "ITEM_PIPELINES": {"bookwheel_scraper.crawl.item_pipeline.PublishingPipeline": 100},
        # HTTP only. A proxy would bypass the resolver's check of IP addresses.
        "DOWNLOAD_HANDLERS": dict.fromkeys(("data", "file", "ftp", "s3")),
        "HTTPPROXY_ENABLED": False,
        "HTTPCACHE_ENABLED": False,
        "COOKIES_ENABLED": False,
        "METAREFRESH_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "REMOTE_CONTROL_ENABLED": False,
        "MEMUSAGE_ENABLED": False,
        "LOG_ENABLED": False,
        "WARN_ON_GENERATOR_RETURN_VALUE": False,
    }

"""What one crawl's parts share: its source, its publisher, and how it is stopped."""

import asyncio
from dataclasses import dataclass, field

from scrapy.crawler import Crawler

from bookwheel_scraper.publishing.publisher import Publisher
from bookwheel_scraper.sources.declarations import Source


class Stop:
    """The wish to end a crawl early. The first reason given is the run's."""

    def __init__(self) -> None:
        self._wished = asyncio.Event()
        self.reason: str | None = None
        self.urgent = False

    def wish(self, reason: str, *, urgent: bool = False) -> None:
        """`urgent` where the process is to end, even if Redis is away; otherwise the crawl ends and waits for it."""
        self.urgent = self.urgent or urgent
        if self.reason is None:
            self.reason = reason
        self._wished.set()

    async def sleep(self, seconds: float) -> bool:
        """Waits `seconds`, or less when the crawl is to stop. Whether it is."""
        try:
            await asyncio.wait_for(self._wished.wait(), seconds)
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class CrawlContext:
    """`first_error` is what went wrong first, as the run's reason; `refused_hosts` those in networks not allowed."""

    source: Source
    start_urls: tuple[str, ...]
    publisher: Publisher
    allow_private_addresses: bool
    stop: Stop
    first_error: str | None = None
    refused_hosts: set[str] = field(default_factory=set)

    def note_error(self, error: str) -> None:
        self.publisher.count_error()
        if self.first_error is None:
            self.first_error = error


def context_of(crawler: Crawler) -> CrawlContext:
    """The context of a crawler whose spider is open."""
    spider = crawler.spider
    if spider is None:
        raise RuntimeError("the crawler has no spider yet")
    context: CrawlContext = getattr(spider, "context")  # noqa: B009 - Scrapy types it as any Spider
    return context

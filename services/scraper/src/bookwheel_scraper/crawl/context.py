"""What the components of one crawl share: the source, the publisher and the stop signal."""

import asyncio
from dataclasses import dataclass, field

from scrapy.crawler import Crawler

from bookwheel_scraper.publishing.publisher import Publisher
from bookwheel_scraper.sources.declarations import Source


class StopSignal:
    """Asks a crawl to stop early. The first reason becomes the run's reason."""

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self.reason: str | None = None
        self.urgent = False

    def request(self, reason: str, *, urgent: bool = False) -> None:
        """`urgent`: the process must end even while Redis is unavailable; otherwise it waits for Redis."""
        self.urgent = self.urgent or urgent
        if self.reason is None:
            self.reason = reason
        self._requested.set()

    async def sleep(self, seconds: float) -> bool:
        """Sleeps until `seconds` passed or a stop is requested. Returns whether a stop was requested."""
        try:
            await asyncio.wait_for(self._requested.wait(), seconds)
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class CrawlContext:
    """`first_error` becomes the run's reason; `blocked_hosts` resolved to addresses that crawls must not connect to."""

    source: Source
    start_urls: tuple[str, ...]
    publisher: Publisher
    allow_private_addresses: bool
    stop: StopSignal
    first_error: str | None = None
    blocked_hosts: set[str] = field(default_factory=set)

    def record_error(self, error: str) -> None:
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

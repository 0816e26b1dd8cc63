"""The objects that the components of one crawl share: source, publisher and stop signal."""

import asyncio
from dataclasses import dataclass, field

from bookwheel_contracts import PageOutcome
from scrapy.crawler import Crawler

from bookwheel_scraper.publishing.item_messages import build_page
from bookwheel_scraper.publishing.publisher import Publisher
from bookwheel_scraper.sources.declarations import Source

CANCELLED_REASON = "the crawl was cancelled"


class StopSignal:
    """Requests that a crawl stops early. The first reason is stored as the run's reason.

    `is_cancelled`: a client cancelled the run.

    With `limit_wait_for_redis`, the process ends after `scraper_stop_seconds` if Redis is unavailable, without a finish
    message. Otherwise it waits for Redis.
    """

    def __init__(self) -> None:
        self._requested = asyncio.Event()
        self.reason: str | None = None
        self.limit_wait_for_redis = False
        self.is_cancelled = False

    def cancel(self) -> None:
        if self.reason is None:
            self.is_cancelled = True
            self.request(CANCELLED_REASON)

    def request(self, reason: str, *, limit_wait_for_redis: bool = False) -> None:
        self.limit_wait_for_redis = self.limit_wait_for_redis or limit_wait_for_redis
        if self.reason is None:
            self.reason = reason
        self._requested.set()

    async def wait(self, seconds: float) -> bool:
        """Waits at most `seconds` for a stop request. Returns True if a stop was requested."""
        try:
            await asyncio.wait_for(self._requested.wait(), seconds)
        except TimeoutError:
            return False
        return True


@dataclass(slots=True)
class CrawlContext:
    """The shared objects of one crawl.

    `first_error` becomes part of the run's reason. `blocked_hosts` are hosts that resolved to private IP addresses.
    """

    source: Source
    start_urls: tuple[str, ...]
    publisher: Publisher
    allow_private_addresses: bool
    stop_signal: StopSignal
    first_error: str | None = None
    blocked_hosts: set[str] = field(default_factory=set)

    def record_error(self, error: str) -> None:
        self.publisher.count_error()
        if self.first_error is None:
            self.first_error = error

    def record_failed_page(self, url: str, error: str) -> None:
        self.publisher.record_page(build_page(url, PageOutcome.FAILED, reason=error))
        self.record_error(error)


def get_context(crawler: Crawler) -> CrawlContext:
    """Returns the context of a crawler with an open spider."""
    spider = crawler.spider
    if spider is None:
        raise RuntimeError("the crawler has no spider yet")
    context: CrawlContext = getattr(spider, "context")  # noqa: B009 - Scrapy's type is Spider, without a context
    return context

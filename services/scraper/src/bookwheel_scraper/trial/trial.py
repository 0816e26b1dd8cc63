"""Fetches one page with the rules of its source and reads it."""

import asyncio
from dataclasses import dataclass, field

from bookwheel_extraction.pages import PageResult
from bookwheel_stores.streams import connect_redis
from scrapy.http import HtmlResponse, Response

from bookwheel_scraper.crawl.context import CrawlContext, StopSignal
from bookwheel_scraper.crawl.process import install_monotonic_reactor
from bookwheel_scraper.crawl.scrapy_runner import crawl, load_spider
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source

DEFAULT_SOURCE = "schema_org"


class PageNotReadError(Exception):
    """The page could not be fetched or is not HTML."""


@dataclass(slots=True)
class Trial:
    """The result of reading one page. `url` is the URL after redirects."""

    source: str
    url: str
    status: int
    page: PageResult


@dataclass(slots=True)
class _Result:
    trial: Trial | None = None
    errors: list[str] = field(default_factory=list)


def try_page(url: str, source: Source, settings: ScraperSettings) -> Trial:
    """Fetches and reads a page. Publishes nothing and needs no Redis. Raises PageNotReadError.

    It can be called once in a process, because it runs Twisted's reactor.
    """
    reactor = install_monotonic_reactor()
    result = _Result()

    async def run_and_stop() -> None:
        try:
            await _crawl_page(url, source, settings, result)
        except Exception as error:  # noqa: BLE001 - an exception in a task would be lost
            result.errors.append(f"{type(error).__name__}: {error}")
        finally:
            reactor.stop()

    tasks: list[asyncio.Future[None]] = []
    reactor.callWhenRunning(lambda: tasks.append(asyncio.ensure_future(run_and_stop())))
    reactor.run()
    if result.trial is None:
        raise PageNotReadError(result.errors[0] if result.errors else f"{url} was not fetched")
    return result.trial


async def _crawl_page(url: str, source: Source, settings: ScraperSettings, result: _Result) -> None:
    # The publisher is not started, so nothing is published.
    attempt = RunAttempt(connect_redis(settings.redis_url), "trial")
    item_messages = ItemMessageBuilder(run_id="trial", source=source.name, traceparent="")
    context = CrawlContext(
        source=source,
        start_urls=(url,),
        publisher=Publisher(attempt, item_messages, RunCounts(), PublishingLimits()),
        allow_private_addresses=_allows_private_addresses(url, source, settings),
        stop_signal=StopSignal(),
    )
    spider_type = load_spider(source, settings)

    def parse(self: object, response: Response, **_: object) -> list[object]:
        if not isinstance(response, HtmlResponse):
            content_type = (response.headers.get("Content-Type") or b"none").decode("latin-1")
            result.errors.append(f"{response.url} is not an HTML page: its content type is {content_type}")
        else:
            page = self.read_page(response)  # type: ignore[attr-defined]  # all spiders are BookSpiders
            result.trial = Trial(source.name, response.url, response.status, page)
        return []

    await crawl(context, settings, type("TrialSpider", (spider_type,), {"parse": parse}))
    if context.first_error is not None:
        result.errors.append(context.first_error)


def _allows_private_addresses(url: str, source: Source, settings: ScraperSettings) -> bool:
    """As in a crawl: a source allows private addresses only for its declared start URLs."""
    is_declared = source.private_addresses and url in source.start_urls
    return is_declared or settings.scraper_private_addresses == "allow"

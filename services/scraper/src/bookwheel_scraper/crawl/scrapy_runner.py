"""Runs a source's spider in Scrapy."""

import asyncio

from bookwheel_runtime.logs import get_logger
from scrapy import Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

from bookwheel_scraper.crawl.context import CrawlContext
from bookwheel_scraper.crawl.resolver import install_resolver
from bookwheel_scraper.crawl.scrapy_settings import scrapy_settings
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source

logger = get_logger(__name__)


def load_spider(source: Source, settings: ScraperSettings) -> type[Spider]:
    """Returns the class of the source's spider."""
    return SpiderLoader.from_settings(Settings(scrapy_settings(source, settings))).load(source.spider)


async def crawl(context: CrawlContext, settings: ScraperSettings, spider: type[Spider] | None = None) -> None:
    """Runs the spider, by default that of the source, until it finishes or a stop is requested.

    After a stop request, open requests can finish within `scraper_stop_seconds`. Twisted's asyncio reactor must be
    running. Raises Scrapy's error if the spider cannot start.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - an earlier import would install the default reactor

    install_resolver(reactor, blocked_hosts=None if context.allow_private_addresses else context.blocked_hosts)
    crawler_settings = Settings(scrapy_settings(context.source, settings))
    crawler = Crawler(spider or load_spider(context.source, settings), crawler_settings)
    _connect_errors(crawler, context)
    crawl_task = asyncio.ensure_future(crawler.crawl_async(context=context))
    stop_request = asyncio.ensure_future(_wait_for_stop(context))
    await asyncio.wait({crawl_task, stop_request}, return_when=asyncio.FIRST_COMPLETED)
    if not crawl_task.done():
        logger.info("crawl stopping", reason=context.stop_signal.reason)
        stop_task = asyncio.ensure_future(crawler.stop_async())
        await asyncio.wait({crawl_task, stop_task}, timeout=settings.scraper_stop_seconds)
    stop_request.cancel()
    if crawl_task.done():
        await crawl_task


def _connect_errors(crawler: Crawler, context: CrawlContext) -> None:
    """Makes the crawler record the pages on which the spider failed."""

    def record_spider_error(response: Response) -> None:
        context.record_failed_page(response.url, f"the spider failed on {response.url}")

    # Scrapy's signals keep weak references by default, and nothing else refers to this function.
    crawler.signals.connect(record_spider_error, signal=signals.spider_error, weak=False)


async def _wait_for_stop(context: CrawlContext) -> None:
    """Waits for a stop request, or requests a stop when the run reaches its limit of seconds."""
    max_seconds = context.source.caps.seconds
    if not await context.stop_signal.wait(max(0.0, max_seconds - context.publisher.previous_seconds)):
        context.stop_signal.request(f"the limit of {max_seconds:g} seconds is reached")

"""Runs a source's spider in Scrapy."""

import asyncio

from bookwheel_runtime.logs import get_logger
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK, Request
from scrapy.settings import Settings
from scrapy.spiderloader import SpiderLoader

from bookwheel_scraper.crawl.context import CrawlContext
from bookwheel_scraper.crawl.resolver import install_resolver
from bookwheel_scraper.crawl.scrapy_settings import scrapy_settings
from bookwheel_scraper.settings import ScraperSettings

logger = get_logger(__name__)


async def crawl(context: CrawlContext, settings: ScraperSettings) -> None:
    """Runs the spider until it finishes or a stop is requested.

    After a stop request, open requests can finish within `scraper_stop_seconds`. Twisted's asyncio reactor must be
    running. Raises Scrapy's error if the spider cannot start.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - an earlier import would install the default reactor

    install_resolver(reactor, blocked_hosts=None if context.allow_private_addresses else context.blocked_hosts)
    crawler_settings = Settings(scrapy_settings(context.source, settings))
    spider = SpiderLoader.from_settings(crawler_settings).load(context.source.spider)
    crawler = Crawler(spider, crawler_settings)
    _connect_counters(crawler, context)
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


def _connect_counters(crawler: Crawler, context: CrawlContext) -> None:
    """Makes the crawler count its pages and errors in the context."""

    def count_page(request: Request) -> None:
        if request.callback is not NO_CALLBACK:  # not robots.txt
            context.publisher.count_page()

    def record_spider_error(response: Response) -> None:
        context.record_error(f"the spider failed on {response.url}")

    # Scrapy's signals keep weak references by default, and nothing else refers to these functions.
    crawler.signals.connect(count_page, signal=signals.response_received, weak=False)
    crawler.signals.connect(record_spider_error, signal=signals.spider_error, weak=False)


async def _wait_for_stop(context: CrawlContext) -> None:
    """Waits for a stop request, or requests a stop when the run reaches its limit of seconds."""
    max_seconds = context.source.caps.seconds
    if not await context.stop_signal.wait(max(0.0, max_seconds - context.publisher.previous_seconds)):
        context.stop_signal.request(f"the limit of {max_seconds:g} seconds is reached")

"""Runs a source's spider in Scrapy."""

import asyncio

from bookwheel_runtime.logs import get_logger
from scrapy import signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK, Request
from scrapy.utils.misc import load_object

from bookwheel_scraper.crawl.context import CrawlContext
from bookwheel_scraper.crawl.resolver import install_resolver
from bookwheel_scraper.crawl.scrapy_settings import scrapy_settings
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.spiders.book_spider import BookSpider

logger = get_logger(__name__)
_SPIDERS = {
    "toscrape": "bookwheel_scraper.spiders.toscrape.ToScrapeSpider",
    "schema_org": "bookwheel_scraper.spiders.schema_org.SchemaOrgSpider",
}


async def crawl(context: CrawlContext, settings: ScraperSettings) -> None:
    """Runs the spider to its end, or for some seconds after the wish to stop: pages still under way then are let go.

    Needs Twisted's asyncio reactor, running. Raises what Scrapy raises where it cannot start.
    """
    from twisted.internet import reactor  # noqa: PLC0415 - importing it would install another reactor

    install_resolver(reactor, refused_hosts=None if context.allow_private_addresses else context.refused_hosts)
    spider: type[BookSpider] = load_object(_SPIDERS[context.source.spider])
    crawler = Crawler(spider, scrapy_settings(context.source, settings))
    _count_pages_and_bugs(crawler, context)
    crawling = asyncio.ensure_future(crawler.crawl_async(context=context))
    stopping = asyncio.ensure_future(_wait_for_stop(context))
    await asyncio.wait({crawling, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not crawling.done():
        logger.info("crawl stops", reason=context.stop.reason)
        ending = asyncio.ensure_future(crawler.stop_async())
        await asyncio.wait({crawling, ending}, timeout=settings.scraper_stop_seconds)
    stopping.cancel()
    if crawling.done():
        await crawling


def _count_pages_and_bugs(crawler: Crawler, context: CrawlContext) -> None:
    def count_page(request: Request) -> None:
        if request.callback is not NO_CALLBACK:  # robots.txt
            context.publisher.count_page()

    def count_bug(response: Response) -> None:
        context.note_error(f"the spider failed on {response.url}")

    # strong references: Scrapy's signals keep weak ones, and these functions have no other owner
    crawler.signals.connect(count_page, signal=signals.response_received, weak=False)
    crawler.signals.connect(count_bug, signal=signals.spider_error, weak=False)


async def _wait_for_stop(context: CrawlContext) -> None:
    seconds = context.source.caps.seconds
    if not await context.stop.sleep(max(0.0, seconds - context.publisher.seconds_before)):
        context.stop.wish(f"the cap of {seconds:g} seconds is reached")

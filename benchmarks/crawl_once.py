"""Crawls the demo shop once, with or without publishing, and prints the pages per second.

Both use the source's spider and settings. Without publishing, only the item pipeline is missing.
"""

import argparse
import asyncio
import os
import time
import uuid
from datetime import UTC, datetime
from types import ModuleType

import bookwheel_scraper.crawl.scrapy_runner
from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_runtime.logs import configure_logs
from bookwheel_runtime.settings import load_settings
from bookwheel_runtime.traces import traced
from bookwheel_scraper.crawl.context import CrawlContext, StopSignal
from bookwheel_scraper.crawl.run import CrawlRun, resolve_request
from bookwheel_scraper.crawl.scrapy_runner import crawl
from bookwheel_scraper.crawl.scrapy_settings import scrapy_settings
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import load_sources
from bookwheel_stores.streams import connect_redis
from scrapy.utils.reactor import install_reactor


def crawl_request(traceparent: str) -> CrawlRequest:
    return CrawlRequest(
        run_id=uuid.uuid4().hex,
        source="demo",
        start_url=None,
        requested_at=datetime.now(UTC),
        requested_by="benchmark",
        traceparent=traceparent,
    )


async def crawl_and_publish(request: CrawlRequest, settings: ScraperSettings) -> int:
    """Executes a run like the service, from the start message to the finish message. Returns the number of pages."""
    await CrawlRun(request, settings, StopSignal(), request.traceparent).run()
    return RunAttempt(connect_redis(settings.redis_url), request.run_id).counts().pages


async def crawl_only(request: CrawlRequest, settings: ScraperSettings) -> int:
    """Crawls without publishing. Returns the number of pages."""

    def without_pipeline(*arguments: object) -> dict[str, object]:
        return scrapy_settings(*arguments) | {"ITEM_PIPELINES": {}}  # type: ignore[arg-type]  # passed on unchanged

    setattr(bookwheel_scraper.crawl.scrapy_runner, "scrapy_settings", without_pipeline)  # noqa: B010 - the only difference
    source, start_urls = resolve_request(request, load_sources(settings))
    run_attempt = RunAttempt(connect_redis(settings.redis_url), request.run_id)
    item_messages = ItemMessageBuilder(run_id=request.run_id, source=source.name, traceparent=request.traceparent)
    # It only counts pages, because it is not started.
    publisher = Publisher(run_attempt, item_messages, RunCounts(), PublishingLimits())
    await crawl(CrawlContext(source, start_urls, publisher, True, StopSignal()), settings)
    return publisher.buffered_pages


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--publish", action="store_true")
    run_crawl = crawl_and_publish if parser.parse_args().publish else crawl_only
    settings = load_settings(ScraperSettings)
    configure_logs("scraper", settings.log_level)
    install_reactor("twisted.internet.asyncioreactor.AsyncioSelectorReactor")
    from twisted.internet import reactor as installed  # noqa: PLC0415 - importing it would install another reactor

    reactor: ModuleType = installed

    async def measure() -> None:
        with traced(None) as traceparent:
            started = time.perf_counter()
            pages = await run_crawl(crawl_request(traceparent), settings)
            print(pages / (time.perf_counter() - started), flush=True)
        reactor.stop()

    reactor.callWhenRunning(lambda: asyncio.ensure_future(measure()))
    reactor.run(installSignalHandlers=False)


if __name__ == "__main__":
    main()
    os._exit(0)

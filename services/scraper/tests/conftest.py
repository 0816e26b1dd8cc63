"""Fixtures of the scraper's tests: a site with faults on demand, and crawls of it in separate processes."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bookwheel_scraper.crawl.context import CrawlContext, StopSignal
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts
from bookwheel_scraper.sources.declarations import Source
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.crawl_runner import Crawls
from bookwheel_testing.shop_site import Site, serving_site

UNUSED_REDIS_URL = "redis://127.0.0.1:1/0"


@pytest.fixture
def idle_context() -> Callable[[str], CrawlContext]:
    """Builds a crawl context without a running publisher, for spiders without an engine."""

    def build(start_url: str) -> CrawlContext:
        run_attempt = RunAttempt(connect_redis(UNUSED_REDIS_URL), "run")
        item_messages = ItemMessageBuilder(run_id="run", source="test", traceparent="")
        return CrawlContext(
            source=Source(name="test", title="Test", spider="toscrape"),
            start_urls=(start_url,),
            publisher=Publisher(run_attempt, item_messages, RunCounts(), PublishingLimits()),
            allow_private_addresses=True,
            stop_signal=StopSignal(),
        )

    return build


@pytest.fixture
def site() -> Iterator[Site]:
    with serving_site() as running_site:
        yield running_site


@pytest.fixture
def crawls(tmp_path: Path, redis_url: str, site: Site) -> Iterator[Crawls]:
    crawls_of_site = Crawls(
        tmp_path,
        redis_url,
        {
            "BOOKWHEEL_REDIS_URL": redis_url,
            "BOOKWHEEL_SCRAPER_SOURCES_DIR": str(tmp_path),
            "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow",
            "BOOKWHEEL_SCRAPER_STOP_SECONDS": "2",
        },
    )
    crawls_of_site.declare([site.url])
    yield crawls_of_site
    crawls_of_site.stop()

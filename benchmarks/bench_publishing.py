"""Publishing: a crawl compared with the same crawl without publishing, and the publisher with one RPUSH per item."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from bookwheel_contracts.crawls import RunStarted
from bookwheel_runtime.traces import new_traceparent
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder, ScrapedBook
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.suite_under_test import another_shop

from benchmarks.harness import compare, run
from benchmarks.processor_service import redis_server
from benchmarks.results import Result, save
from benchmarks.sample_items import SEED, scraped_books

SHOP_BOOKS = 1000
ITEMS = 15_000  # less than the stream limit, so publishing does not wait for a processor


def compare_crawls(redis_url: str, shop_url: str, folder: Path) -> Result:
    environment = os.environ | {
        "BOOKWHEEL_REDIS_URL": redis_url,
        "BOOKWHEEL_DEMO_SHOP_URL": shop_url,
        "BOOKWHEEL_STATE_DIR": str(folder),
    }

    def pages_per_second(*options: str) -> float:
        connect_redis(redis_url).flushall()
        command = [sys.executable, "-m", "benchmarks.crawl_once", *options]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(process.stdout.splitlines()[-1])

    return compare(
        "crawl, with publishing or without",
        ours=lambda: pages_per_second("--publish"),
        floor=pages_per_second,
        bound=0.95,
        unit="pages/s",
        rounds=9,  # publishing costs 0.4 % of a page, less than the difference between two crawls
    )


def published_per_second(redis_url: str, books: Sequence[ScrapedBook]) -> float:
    """Returns items/s of a run's publisher, until Redis has confirmed the last item."""
    redis = connect_redis(redis_url)
    redis.flushall()
    traceparent = new_traceparent()
    run_attempt = RunAttempt(redis, "run")
    started = RunStarted(
        run_id="run", source="demo", start_url="", started_at=datetime.now(UTC), traceparent=traceparent
    )
    item_messages = ItemMessageBuilder(run_id="run", source="demo", traceparent=traceparent)
    publisher = Publisher(run_attempt, item_messages, run_attempt.start(started), PublishingLimits())

    async def put_all() -> None:
        for book in books:
            await publisher.put(book)

    started_at = time.perf_counter()
    publisher.start()
    asyncio.run(put_all())
    publisher.close()
    return len(books) / (time.perf_counter() - started_at)


def pushed_per_second(redis_url: str, books: Sequence[ScrapedBook]) -> float:
    """Returns items/s of a simple pipeline: the same data as JSON, with one RPUSH per item."""
    redis = connect_redis(redis_url)
    redis.flushall()
    traceparent = new_traceparent()
    started_at = time.perf_counter()
    for number, book in enumerate(books, 1):
        item = {
            "kind": "item",
            "schema_version": 1,
            "run_id": "run",
            "item_number": number,
            "source": "demo",
            "url": book.url,
            "scraped_at": datetime.now(UTC).isoformat(),
            "payload": book.payload,
            "fingerprint": sha256(json.dumps(book.payload, sort_keys=True).encode()).hexdigest(),
            "traceparent": traceparent,
        }
        redis.rpush("items", json.dumps(item))
    return len(books) / (time.perf_counter() - started_at)


def compare_publishers(redis_url: str) -> Result:
    books = scraped_books(0, ITEMS)
    return compare(
        "publisher, or one RPUSH per item",
        ours=lambda: published_per_second(redis_url, books),
        floor=lambda: pushed_per_second(redis_url, books[: ITEMS // 5]),
        bound=5,
        unit="items/s",
    )


def main(_arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        folder = Path(name)
        with redis_server(folder) as redis_url, another_shop(folder, books=SHOP_BOOKS, seed=SEED) as shop_url:
            save([compare_crawls(redis_url, shop_url, folder), compare_publishers(redis_url)])


if __name__ == "__main__":
    run(main)

"""Freshness: the seconds from the scraping of a book until a search through the gateway finds it, during a crawl."""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from bookwheel_testing.suite_under_test import SuiteUnderTest, another_shop

from benchmarks.benchmark_suite import running_suite
from benchmarks.harness import result, run
from benchmarks.results import Result, save

BOOKS = 1_000
PAGES_PER_SECOND = 40
LIMIT_SECONDS = 2.0
SOURCE = """
name = "steady"
title = "A shop crawled steadily"
spider = "toscrape"
start_urls = ["{url}"]
private_addresses = true

[politeness]
delay = {delay}
concurrency = 16
autothrottle = false
"""


def measure_delays(suite: SuiteUnderTest) -> list[float]:
    """Returns sorted seconds per book, from `first_seen` (its page was scraped) to the first search that finds it."""
    run_id = suite.start_crawl("steady")
    delay_by_book: dict[str, float] = {}
    deadline = time.monotonic() + 3 * BOOKS / PAGES_PER_SECOND
    with httpx.Client(base_url=suite.url, headers={"Authorization": f"Bearer {suite.token()}"}) as client:
        query = {"filter": "source:steady", "sort": "newest", "limit": "100", "fields": "id,first_seen"}
        while len(delay_by_book) < BOOKS and time.monotonic() < deadline:
            books = client.get("/api/v1/books", params=query).raise_for_status().json()["items"]
            now = datetime.now(UTC)
            for book in books:
                delay_by_book.setdefault(book["id"], (now - datetime.fromisoformat(book["first_seen"])).total_seconds())
            time.sleep(0.02)
    scraped = suite.wait_for_crawl(run_id)["counts"]["scraped"]
    if len(delay_by_book) < 0.9 * scraped:
        raise RuntimeError(f"only {len(delay_by_book)} of {scraped} books were found while they were new")
    return sorted(delay_by_book.values())


def freshness(suite: SuiteUnderTest) -> Result:
    delays = measure_delays(suite)
    p95 = statistics.quantiles(delays, n=20)[-1]
    print(f"{len(delays)} books: median {statistics.median(delays):.2f} s, p95 {p95:.2f} s, maximum {delays[-1]:.2f} s")
    return result("searchable after scraping, p95", [1 / p95], [1 / LIMIT_SECONDS], bound=1, unit="1/s")


def main(_arguments: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        folder = Path(name)
        with another_shop(folder, books=BOOKS, seed=7) as url:
            source = folder / "steady.toml"
            source.write_text(SOURCE.format(url=url, delay=1 / PAGES_PER_SECOND))
            with running_suite(settings={"BOOKWHEEL_SCRAPER_SOURCES_DIR": name}) as suite:
                save([freshness(suite)])


if __name__ == "__main__":
    run(main)

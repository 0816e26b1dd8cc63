"""Freshness: seconds from a book's being scraped to its being found through the gateway, while a crawl goes on."""

import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import httpx
from bookwheel_testing.suite import Suite, another_shop

from benchmarks.harness import Result, result, save
from benchmarks.suite import running_suite

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


def delays(suite: Suite) -> list[float]:
    """Seconds of each book, of which `first_seen` is when its page was scraped."""
    run_id = suite.start_crawl("steady")
    found: dict[str, float] = {}
    until = time.monotonic() + 3 * BOOKS / PAGES_PER_SECOND
    with httpx.Client(base_url=suite.url, headers={"Authorization": f"Bearer {suite.token()}"}) as client:
        query = {"filter": "source:steady", "sort": "newest", "limit": "100", "fields": "id,first_seen"}
        while len(found) < BOOKS and time.monotonic() < until:
            books = client.get("/api/v1/books", params=query).raise_for_status().json()["items"]
            now = datetime.now(UTC)
            for book in books:
                found.setdefault(book["id"], (now - datetime.fromisoformat(book["first_seen"])).total_seconds())
            time.sleep(0.02)
    scraped = suite.finished_crawl(run_id)["counts"]["scraped"]
    if len(found) < 0.9 * scraped:
        raise RuntimeError(f"only {len(found)} of {scraped} books were seen while they were new")
    return sorted(found.values())


def freshness(suite: Suite) -> Result:
    measured = delays(suite)
    p95 = statistics.quantiles(measured, n=20)[-1]
    print(
        f"{len(measured)} books: median {statistics.median(measured):.2f} s, p95 {p95:.2f} s, most {measured[-1]:.2f} s"
    )
    return result("searchable after scraping, p95", [1 / p95], [1 / LIMIT_SECONDS], bound=1, unit="1/s")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        folder = Path(name)
        with another_shop(folder, books=BOOKS, seed=7) as url:
            source = folder / "steady.toml"
            source.write_text(SOURCE.format(url=url, delay=1 / PAGES_PER_SECOND))
            with running_suite(settings={"BOOKWHEEL_SCRAPER_SOURCES_DIR": name}) as suite:
                save([freshness(suite)])

"""Compares the catalog with the pages of the demo shop after a crawl."""

from typing import Any, Protocol

import httpx

from bookwheel_testing.suite_under_test import clean_title, expected_shop_books

VERDICTS = ("added", "modified", "unchanged", "duplicate", "quarantined")


class CrawledSuite(Protocol):
    """A suite and the demo shop that it crawls."""

    shop_day: int

    @property
    def shop_url(self) -> str: ...

    def books_where(self, *filters: str, **parameters: str) -> list[dict[str, Any]]: ...

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]: ...

    def processor_command(self, *arguments: str) -> str: ...


def next_day(suite: CrawledSuite) -> None:
    """Changes prices and stocks in the shop.

    A restarted shop begins with its first day. Its next day then follows the last day before the restart. The first day
    differs so much from the catalog that a crawl would be held.
    """
    current_day = int(httpx.get(f"{suite.shop_url}/_shop/day").json()["day"])
    suite.shop_day = max(current_day, suite.shop_day) + 1
    httpx.put(f"{suite.shop_url}/_shop/day", json={"day": suite.shop_day}).raise_for_status()


def check_against_shop(suite: CrawledSuite, run: dict[str, Any]) -> None:
    """Raises AssertionError if counts, records or search differ from the shop's pages."""
    counts = run["counts"]
    assert run["state"] == "complete", run
    assert counts["scraped"] == sum(counts[verdict] for verdict in VERDICTS)
    assert counts["quarantined"] == 0
    expected_by_id = {f"demo:{book['upc']}": book for book in expected_shop_books(suite.shop_url)}
    books = suite.books_where("source:demo")
    books_by_id = {book["id"]: book for book in books}
    assert len(books_by_id) == len(books)
    offers = suite.rows("SELECT source_key FROM offer WHERE source = 'demo'")
    assert len(offers) == len(set(offers)) >= len(expected_by_id)
    for book_id, expected in expected_by_id.items():
        book = books_by_id[book_id]
        assert (book["title"], book["stock"]) == (clean_title(expected["title"]), expected["stock"])
        assert book["price"] == {"amount": expected["price"], "currency": "GBP"}
    assert suite.processor_command("compare")

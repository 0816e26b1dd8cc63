"""Compares the catalog after a crawl of the demo shop with the shop's pages."""

from typing import Any, Protocol

import httpx

from bookwheel_testing.suite_under_test import clean_title, shop_facts

VERDICTS = ("added", "modified", "unchanged", "duplicate", "quarantined")


class CrawledSuite(Protocol):
    """A suite and the demo shop that it crawls."""

    shop_day: int

    @property
    def shop_url(self) -> str: ...

    def books_where(self, *filters: str, **parameters: str) -> list[dict[str, Any]]: ...

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]: ...

    def processor_verb(self, *arguments: str) -> str: ...


def next_day(suite: CrawledSuite) -> None:
    """Changes prices and stocks in the shop.

    A new shop process starts at its first day again. Its next day then follows the last day of the earlier process:
    the first day differs so much from the catalog that a crawl would be held.
    """
    current_day = int(httpx.get(f"{suite.shop_url}/_shop/day").json()["day"])
    suite.shop_day = max(current_day, suite.shop_day) + 1
    httpx.put(f"{suite.shop_url}/_shop/day", json={"day": suite.shop_day}).raise_for_status()


def check_against_shop(suite: CrawledSuite, run: dict[str, Any]) -> None:
    """Raises AssertionError if counts, records or search differ from the shop's pages: lost or duplicated books."""
    counts = run["counts"]
    assert run["state"] == "complete", run
    assert counts["scraped"] == sum(counts[verdict] for verdict in VERDICTS)
    assert counts["quarantined"] == 0
    facts = {f"demo:{fact['upc']}": fact for fact in shop_facts(suite.shop_url)}
    books = suite.books_where("source:demo")
    books_by_id = {book["id"]: book for book in books}
    assert len(books_by_id) == len(books)
    offers = suite.rows("SELECT source_key FROM offer WHERE source = 'demo'")
    assert len(offers) == len(set(offers)) >= len(facts)
    for book_id, fact in facts.items():
        book = books_by_id[book_id]
        assert (book["title"], book["stock"]) == (clean_title(fact["title"]), fact["stock"])
        assert book["price"] == {"amount": fact["price"], "currency": "GBP"}
    assert suite.processor_verb("compare")

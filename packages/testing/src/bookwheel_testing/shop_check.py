"""What became of a crawl of the demo shop, held against what the shop's pages said."""

from typing import Any, Protocol

import httpx

from bookwheel_testing.suite import as_read, shop_facts

VERDICTS = ("added", "modified", "unchanged", "duplicate", "quarantined")


class CrawledSuite(Protocol):
    """A suite and the demo shop that it crawls."""

    @property
    def shop_url(self) -> str: ...

    def books_where(self, *filters: str, **parameters: str) -> list[dict[str, Any]]: ...

    def rows(self, query: str, **parameters: object) -> list[tuple[Any, ...]]: ...

    def processor_verb(self, *arguments: str) -> str: ...


def next_day(suite: CrawledSuite) -> None:
    """Prices and stocks change in the shop."""
    day = httpx.get(f"{suite.shop_url}/_shop/day").json()["day"]
    httpx.put(f"{suite.shop_url}/_shop/day", json={"day": day + 1}).raise_for_status()


def check_against_the_shop(suite: CrawledSuite, run: dict[str, Any]) -> None:
    """Nothing lost, nothing double: accounting, records and search say what the shop's pages say."""
    counts = run["counts"]
    assert run["state"] == "complete", run
    assert counts["scraped"] == sum(counts[verdict] for verdict in VERDICTS)
    assert counts["quarantined"] == 0
    facts = {f"demo:{fact['upc']}": fact for fact in shop_facts(suite.shop_url)}
    walked = suite.books_where("source:demo")
    shown = {book["id"]: book for book in walked}
    assert len(shown) == len(walked)
    offers = suite.rows("SELECT source_key FROM offer WHERE source = 'demo'")
    assert len(offers) == len(set(offers)) >= len(facts)
    for book_id, fact in facts.items():
        book = shown[book_id]
        assert (book["title"], book["stock"]) == (as_read(fact["title"]), fact["stock"])
        assert book["price"] == {"amount": fact["price"], "currency": "GBP"}
    assert suite.processor_verb("compare")

"""A field that older versions did not have, from the page to the feed."""

from decimal import Decimal
from typing import Any

import orjson
from bookwheel_contracts import BookDetails, Money, Verdict
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.batch import BatchIngester
from bookwheel_processor.ingest.rows import offer_columns
from bookwheel_stores.records import BookReader, ChangeFeed, FeedReader
from bookwheel_stores.records.tables import change
from sqlalchemy import Engine, func, update


def test_an_offer_without_a_subtitle_has_the_fingerprint_of_older_versions() -> None:
    details = BookDetails(
        title="Salt & Iron",
        authors=("Ada Quill", "Ben Reed"),
        isbn13="9780306406157",
        category="Poetry",
        description="Warm.",
        rating=4.0,
    )
    offer = CleanOffer(
        source="demo",
        source_key="1",
        book_id="isbn:9780306406157",
        url="http://shop.example/1",
        price=Money(amount=Decimal("9.99"), currency="GBP"),
        stock=3,
        in_stock=True,
        details=details,
    )
    assert offer_columns(offer)["fingerprint"] == "c27b579f3377d080c6ea42498aa2807a"
    with_subtitle = offer.model_copy(update={"details": details.model_copy(update={"subtitle": "Poems"})})
    assert offer_columns(with_subtitle)["fingerprint"] != "c27b579f3377d080c6ea42498aa2807a"


def test_a_subtitle_reaches_the_book_and_the_feed(engine: Engine, scraped: Any) -> None:
    BatchIngester(engine).apply(scraped.entries(scraped.item(1)))
    late = BatchIngester(engine).apply(scraped.entries(scraped.item(1, run="run-2", minute=9, subtitle=" A  Novel ")))
    assert late.verdicts["run-2"] == {Verdict.MODIFIED: 1}
    book = BookReader(engine).get("shop:upc-1")
    assert book is not None
    assert book.subtitle == "A Novel"
    assert BookReader(engine).list_changes("shop:upc-1", limit=1)[0].fields == ("subtitle",)
    [state] = ChangeFeed(engine).changed_books(after=0, limit=9).books
    assert orjson.loads(state.content)["subtitle"] == "A Novel"


def test_the_content_of_older_changes_is_completed(engine: Engine, scraped: Any) -> None:
    BatchIngester(engine).apply(scraped.entries(scraped.item(1, description='so-called "subtitle": none')))
    with engine.begin() as connection:
        without = func.replace(change.c.content, '"subtitle":null,', "")
        connection.execute(update(change).values(content=without))
    [state] = ChangeFeed(engine).changed_books(after=0, limit=9).books
    [entry] = FeedReader(engine).read(after=0, limit=9)
    assert state.content == entry.content
    content = orjson.loads(state.content)
    assert content["subtitle"] is None
    assert content["description"] == 'so-called "subtitle": none'

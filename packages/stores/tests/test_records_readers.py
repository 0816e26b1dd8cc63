"""Readers of books, changes, prices, runs and predictions."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from bookwheel_contracts import BOOK_DETAILS, CrawlRequest, RunFinished, RunState, Verdict
from bookwheel_stores.records import (
    BookReader,
    ChangeFeed,
    FeedReader,
    PredictionStore,
    RunStore,
)
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.runs.approvals import RunApprovals
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.values import to_millis
from bookwheel_testing.sample_books import prediction, state_of
from sqlalchemy import Engine

START = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def add_book(
    engine: Engine, name: str, *, price: int | None = 100_000, currency: str | None = "GBP", day: int = 0
) -> int:
    """Adds a book with one offer. `price` is in units of 1/10,000."""
    seen = to_millis(START + timedelta(days=day))
    price_columns: dict[str, Any] = {"price": price, "currency": currency, "stock": 3, "in_stock": True}
    book = dict.fromkeys(BOOK_DETAILS) | {"title": name, "authors": '["Ada"]'}
    book |= {"book_id": f"shop:{name}", **price_columns}
    book |= {"first_seen": seen, "last_changed": seen, "revision": 1, "removed_at": None}
    with engine.begin() as connection:
        writer = CatalogWriter(connection)
        number = writer.add_books([book])[f"shop:{name}"]
        offer = {
            "source": "shop",
            "source_key": name,
            "book_number": number,
            "url": "http://shop.example/",
            **price_columns,
        }
        offer |= {
            "content": "{}",
            "fingerprint": "",
            "first_seen": seen,
            "last_seen": seen,
            "last_run": "r",
            "last_item": 1,
        }
        offer_number = writer.add_offers([offer])["shop", name]
        writer.add_observations([{"offer_number": offer_number, "observed_at": seen, **price_columns}], superseding=())
        change = {
            "book_number": number,
            "revision": 1,
            "kind": "added",
            "fields": "[]",
            "changed_at": seen,
            "run_id": "r",
        }
        writer.add_changes([change])
    return number


def reprice(engine: Engine, name: str, price: int, *, day: int) -> None:
    with engine.begin() as connection:
        writer = CatalogWriter(connection)
        number = writer.lock_offers([("shop", name)])["shop", name]["number"]
        row = {"offer_number": number, "observed_at": to_millis(START + timedelta(days=day))}
        row |= {"price": price, "currency": "GBP", "stock": 1, "in_stock": True}
        writer.add_observations([row], superseding={number})


def test_books_are_read_by_id_and_page_by_page(engine: Engine) -> None:
    numbers = [add_book(engine, f"book-{n}") for n in range(5)]
    reader = BookReader(engine)
    book = reader.get("shop:book-0")
    assert book is not None
    assert (book.authors, book.price and book.price.amount, book.offers[0].source_key) == (
        ("Ada",),
        Decimal(10),
        "book-0",
    )
    assert reader.get("shop:none") is None
    assert list(reader.get_many(["shop:book-3", "shop:none"])) == ["shop:book-3"]
    assert [book.number for book in reader.page(after_number=numbers[1], limit=2)] == numbers[2:4]
    assert reader.page(after_number=numbers[-1], limit=2) == []
    assert reader.count() == 5


def test_more_ids_than_the_parameters_of_a_statement_are_read(engine: Engine) -> None:
    add_book(engine, "book")
    assert list(BookReader(engine).get_many([f"shop:{n}" for n in range(40_000)] + ["shop:book"])) == ["shop:book"]


def test_history_is_paged_newest_first(engine: Engine) -> None:
    add_book(engine, "book")
    reprice(engine, "book", 120_000, day=1)
    reprice(engine, "book", 90_000, day=2)
    reader = BookReader(engine)
    newest = reader.list_observations("shop:book", limit=2)
    assert [str(item.price.amount) for item in newest if item.price] == ["9.00", "12.00"]
    older = reader.list_observations("shop:book", limit=2, before=newest[-1].cursor)
    assert [str(item.price.amount) for item in older if item.price] == ["10.00"]
    change = reader.list_changes("shop:book", limit=9)[0]
    assert reader.list_changes("shop:book", limit=9, before_sequence=change.sequence) == []


def test_the_price_trend_has_the_current_prices_of_each_interval(engine: Engine) -> None:
    first = add_book(engine, "first")
    add_book(engine, "second", price=200_000, day=1)
    add_book(engine, "yen", price=5_000_000, currency="JPY", day=1)
    add_book(engine, "priceless", price=None, currency=None)
    reprice(engine, "first", 50_000, day=2)
    reader = BookReader(engine)
    end = START + timedelta(days=2, hours=1)
    trend = reader.price_trend(book_numbers=None, interval="day", start=START, end=end)
    points = [(p.time.day, p.currency, p.count, str(p.min.amount), str(p.max.amount), str(p.avg.amount)) for p in trend]
    assert points == [
        (30, "GBP", 1, "10.00", "10.00", "10.00"),
        (31, "GBP", 2, "10.00", "20.00", "15.00"),
        (31, "JPY", 1, "500", "500", "500.00"),
        (1, "GBP", 2, "5.00", "20.00", "12.50"),
        (1, "JPY", 1, "500", "500", "500.00"),
    ]
    trend_of_one_book = reader.price_trend(book_numbers=[first], interval="month", start=START, end=end)
    assert [(p.time.month, str(p.avg.amount)) for p in trend_of_one_book] == [(1, "10.00"), (2, "5.00")]
    assert reader.price_trend(book_numbers=[], interval="week", start=START, end=end) == []
    with pytest.raises(ValueError, match="intervals"):
        reader.price_trend(book_numbers=None, interval="day", start=START - timedelta(days=500), end=end)


def test_the_cursor_of_a_projection_never_moves_back(engine: Engine) -> None:
    feed = ChangeFeed(engine)
    assert (feed.head(), feed.cursor("search")) == (0, 0)
    for name in "abc":
        add_book(engine, name)
    assert [entry.change.book_id for entry in FeedReader(engine).read(after=1, limit=1)] == ["shop:b"]
    feed.advance({"search": 3})
    feed.advance({"search": 2})
    assert (feed.head(), feed.cursor("search"), feed.cursor("lake")) == (3, 3, 0)


def test_the_feed_has_the_latest_state_of_each_book(engine: Engine) -> None:
    feed = ChangeFeed(engine)
    numbers = {name: add_book(engine, name) for name in "abc"}
    for revision, kind in ((2, "modified"), (3, "removed")):
        change = {"book_number": numbers["b"], "revision": revision, "kind": kind, "fields": "[]", "changed_at": 1}
        with engine.begin() as connection:
            writer = CatalogWriter(connection)
            writer.add_changes([{**change, "run_id": "r", "content": f'{{"revision":{revision},"subtitle":null}}'}])
            removed_at = 1 if kind == "removed" else None
            writer.update_books([{"number": numbers["b"], "revision": revision, "removed_at": removed_at}])
    changed = feed.changed_books(after=1, limit=9)
    assert (changed.changes, changed.last) == (4, 5)
    states_by_id = {book.book_id: book for book in changed.books}
    assert states_by_id["shop:b"] == (numbers["b"], "shop:b", 3, True, b'{"revision":3,"subtitle":null}')
    assert sorted(states_by_id) == ["shop:b", "shop:c"], "each book once"
    assert b'{"revision":2,"subtitle":null}' in [book.content for book in feed.changed_books(after=1, limit=3).books], (
        "the last change within the limit"
    )
    assert feed.changed_books(after=5, limit=9) == ([], 0, 5)
    books = feed.list_books(after_number=0, limit=9)
    assert [(book.book_id, book.removed) for book in books] == [("shop:a", False), ("shop:b", True), ("shop:c", False)]
    assert feed.list_books(after_number=numbers["b"], limit=1) == [states_by_id["shop:c"]]


def test_a_latest_change_without_content_is_rendered_from_the_tables(engine: Engine) -> None:
    feed = ChangeFeed(engine)
    number = add_book(engine, "a")
    [book] = feed.changed_books(after=0, limit=9).books
    current_book = BookReader(engine).get("shop:a")
    assert current_book is not None
    assert book == state_of(current_book)
    with engine.begin() as connection:
        CatalogWriter(connection).update_books([{"number": number, "revision": 2}])
    assert feed.changed_books(after=0, limit=9) == ([], 1, 1), (
        "the content of revision 1 is unknown, and revision 2 follows"
    )


def test_a_run_is_queued_once_and_runs_are_listed_newest_first(engine: Engine) -> None:
    runs = RunStore(engine)
    for number in range(3):
        request = CrawlRequest(
            run_id=f"run-{number}",
            source="shop" if number else "rival",
            start_url=None,
            requested_at=START,
            requested_by="me",
            traceparent=TRACEPARENT,
        )
        runs.create_requested(request)
        runs.create_requested(request)
    assert [run.id for run in runs.list_latest(limit=2)] == ["run-2", "run-1"]
    assert [run.id for run in runs.list_latest(source="rival", limit=2)] == ["run-0"]
    run = runs.get("run-1")
    assert run is not None
    assert (run.state, run.requested_at, run.searchable) == (RunState.QUEUED, START, False)
    assert runs.get("run-9") is None


def test_a_run_with_lost_items_ends_as_partial(engine: Engine) -> None:
    end = RunFinished(
        run_id="run-1",
        source="shop",
        finished_at=START,
        state=RunState.COMPLETE,
        reason=None,
        scraped=10,
        pages=1,
        errors=0,
        traceparent=TRACEPARENT,
    )
    now = to_millis(START)
    with engine.begin() as connection:
        ledger = RunLedger(connection)
        number = ledger.get_or_create({"run-1": "shop"}, now=now)["run-1"]
        ledger.mark_processed(number, [1, 2])
        ledger.add_verdicts(number, {Verdict.ADDED: 2}, last_change=0, now=now)
        ledger.finish(end)
        assert RunApprovals(connection).list_due([number]) == []
        assert ledger.close_incomplete(before=now) == 0
        assert ledger.close_incomplete(before=now + 1) == ledger.close_incomplete(before=now + 1) + 1
        assert ledger.list_unprocessed(number, [1, 2, 3]) == {3}
        assert RunApprovals(connection).list_due(None) == [number]
        RunApprovals(connection).update(number, state=RunState.PARTIAL.value)
        assert RunApprovals(connection).list_due(None) == []
        assert ledger.purge_processed(before=now) == 0
        assert ledger.purge_processed(before=now + 1) == 2
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.scraped, run.reason) == (
        RunState.PARTIAL,
        2,
        "8 items were lost on their way to the processor",
    )


def test_a_prediction_is_stored_once(engine: Engine) -> None:
    store = PredictionStore(engine)
    records = [
        prediction(prediction_id=f"p-{number}", book_id="shop:a" if number else None, features=(1.0, 0.25))
        for number in range(3)
    ]
    store.write(records)
    store.write([*records, records[0]])
    store.write([])
    assert store.recent(9) == records[::-1]


def test_old_predictions_are_deleted_in_batches_and_new_ones_stay(engine: Engine) -> None:
    store = PredictionStore(engine)
    cutoff = datetime(2026, 6, 1, tzinfo=UTC)
    old = [prediction(prediction_id=f"old-{number}", predicted_at=cutoff - timedelta(days=1)) for number in range(25)]
    new = [prediction(prediction_id=f"new-{number}", predicted_at=cutoff) for number in range(3)]
    late = [prediction(prediction_id="late", predicted_at=cutoff - timedelta(days=1))]
    store.write([*old, *new, *late])
    assert store.delete_before(cutoff, batch=10, limit=20) == 20
    assert len(store.recent(100)) == 9
    assert store.delete_before(cutoff, batch=10) == 6
    assert store.recent(100) == new[::-1]
    assert store.delete_before(cutoff) == 0

"""Examples of entries that arrive in any order."""

from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest
from bookwheel_contracts import Book, ChangeKind, RunState
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_stores.records import BookReader, RunStore
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.consistency import catalog_contents, check_consistent
from sqlalchemy import Engine

ISBN = "0306406152"
BOOK = "isbn:9780306406157"


def ingested(engine: Engine, entries: list[StreamEntry]) -> Engine:
    """Ingest the entries one by one."""
    for entry in entries:
        ItemPipeline(engine).ingest([entry])
    return engine


def book_of(engine: Engine, book_id: str) -> Book:
    book = BookReader(engine).get(book_id)
    assert book is not None
    return book


def live_books(engine: Engine) -> set[str]:
    return {book.id for book in BookReader(engine).page(after_number=0, limit=99)}


def in_any_order(new_engine: Callable[[], Engine], entries: list[StreamEntry]) -> list[dict[str, Any]]:
    """Return the catalog after the entries, which is the same after every order of them."""
    expected = catalog_contents(ingested(new_engine(), entries))
    for shuffled in permutations(entries):
        engine = ingested(new_engine(), list(shuffled))
        assert catalog_contents(engine) == expected
        check_consistent(engine)
    return expected


def test_the_newest_item_of_a_run_counts_even_if_it_repeats_an_older_one(
    new_engine: Callable[[], Engine], scraped: Any
) -> None:
    prices = [("£1.00", 1), ("£2.00", 2), ("£1.00", 3)]
    items = [scraped.item(number, key="k", title="T", price=price, minute=number) for price, number in prices]
    [book] = in_any_order(new_engine, scraped.entries(*items))
    assert book["price"]["amount"] == "1.00"
    assert (book["first_seen"], book["last_seen"]) == ("2026-01-31T08:01:00.000Z", "2026-01-31T08:03:00.000Z")


def test_a_repeated_item_is_a_duplicate_and_moves_last_seen(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.item(1, minute=1)))
    again = ingest.ingest(scraped.entries(scraped.item(2, key="upc-1", title="Book 1", minute=5)))
    assert again.verdicts["run-1"] == {"duplicate": 1}
    assert again.last_change == 0
    assert book_of(engine, "shop:upc-1").last_seen.minute == 5


def test_the_order_of_runs_in_the_same_millisecond_does_not_change_the_result(
    new_engine: Callable[[], Engine], scraped: Any
) -> None:
    items = [scraped.item(1, run=f"run-{name}", key="k", title="T", price=f"£{name}.00") for name in (2, 3, 1)]
    [book] = in_any_order(new_engine, scraped.entries(*items))
    assert book["price"]["amount"] == "3.00"


def test_a_late_older_item_moves_first_seen_back(engine: Engine, scraped: Any) -> None:
    ingested(engine, scraped.entries(scraped.item(1, run="run-2", isbn=ISBN, minute=20)))
    ingested(engine, scraped.entries(scraped.item(1, run="rival", source="rival", isbn=ISBN, minute=30)))
    late = ItemPipeline(engine).ingest(
        scraped.entries(scraped.item(1, run="run-1", isbn=ISBN, price="£7.00", minute=10))
    )
    assert late.verdicts["run-1"] == {"duplicate": 1}
    book = book_of(engine, BOOK)
    assert (book.first_seen.minute, [offer.first_seen.minute for offer in book.offers]) == (10, [30, 10])
    assert str(book.price.amount if book.price else "") == "10.00"
    change = BookReader(engine).list_changes(BOOK, limit=1)[0]
    assert (change.kind, change.fields, change.run_id) == (ChangeKind.MODIFIED, ("first_seen", "offers"), "run-1")
    check_consistent(engine)


def test_first_seen_does_not_move_when_a_shop_drops_the_book(engine: Engine, scraped: Any) -> None:
    ingested(engine, scraped.crawl("run-0", [1, 2], isbn=None))
    ingested(engine, scraped.entries(scraped.item(9, run="run-0", key="first", title="F", isbn=ISBN, minute=2)))
    ingested(engine, scraped.entries(scraped.item(1, run="rival", source="rival", key="r", isbn=ISBN, minute=5)))
    for number in (1, 2):
        ingested(engine, scraped.crawl(f"run-{number}", [1, 2], minute=10 * number))
    book = book_of(engine, BOOK)
    assert ([offer.source for offer in book.offers], book.first_seen.minute) == (["rival"], 2)


def test_an_offer_that_moves_to_another_book_keeps_first_seen(new_engine: Callable[[], Engine], scraped: Any) -> None:
    items = [
        scraped.item(1, run="run-1", key="a", title="A", isbn=ISBN, minute=1),
        scraped.item(2, run="run-1", source="rival", key="b", title="B", isbn=ISBN, minute=4),
        scraped.item(1, run="run-2", key="a", title="A", minute=6),
    ]
    first_seen = {book["id"]: book["first_seen"] for book in in_any_order(new_engine, scraped.entries(*items))}
    assert first_seen == {BOOK: "2026-01-31T08:04:00.000Z", "shop:a": "2026-01-31T08:01:00.000Z"}


def test_an_offer_restored_to_another_book_keeps_first_seen(engine: Engine, scraped: Any) -> None:
    ingested(engine, scraped.crawl("run-0", [1, 2], isbn=None))
    ingested(engine, scraped.entries(scraped.item(9, run="run-0", key="a", title="A", isbn=ISBN, minute=2)))
    ingested(engine, scraped.entries(scraped.item(1, run="rival", source="rival", key="r", isbn=ISBN, minute=5)))
    for number in (1, 2):
        ingested(engine, scraped.crawl(f"run-{number}", [1, 2], minute=10 * number))
    ingested(engine, scraped.entries(scraped.item(9, run="run-3", key="a", title="A", minute=31)))
    assert (book_of(engine, BOOK).first_seen.minute, book_of(engine, "shop:a").first_seen.minute) == (5, 2)
    change = BookReader(engine).list_changes(BOOK, limit=1)[0]
    assert (change.kind, change.fields, change.run_id) == (ChangeKind.MODIFIED, ("first_seen",), "run-3")
    check_consistent(engine)


def test_a_book_first_seen_by_an_item_from_before_complete_runs_is_removed_at_once(
    engine: Engine, scraped: Any
) -> None:
    for number in (1, 2):
        ingested(engine, scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    late = ItemPipeline(engine).ingest(scraped.entries(scraped.item(10, run="slow", minute=5)))
    assert late.verdicts["slow"] == {"added": 1}
    assert "shop:upc-10" not in live_books(engine)
    kinds = [change.kind for change in BookReader(engine).list_changes("shop:upc-10", limit=9)]
    assert kinds == [ChangeKind.REMOVED, ChangeKind.ADDED]


def test_a_restored_offer_has_the_content_of_its_latest_item(engine: Engine, scraped: Any) -> None:
    ingested(engine, scraped.crawl("run-0", range(1, 11)))
    for number in (1, 2):
        ingested(engine, scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    ingested(engine, scraped.entries(scraped.item(10, run="slow", price="£5.00", minute=9)))
    assert "shop:upc-10" not in live_books(engine)
    items = [scraped.item(key, run="run-3", minute=31) for key in range(1, 10)]
    rejected = scraped.item(10, run="run-3", title=None, minute=31)
    start, end = scraped.started("run-3", minute=30), scraped.finished("run-3", scraped=10, minute=34)
    ingested(engine, scraped.entries(start, *items, rejected, end))
    book = book_of(engine, "shop:upc-10")
    assert str(book.price.amount if book.price else "") == "5.00"
    change = BookReader(engine).list_changes("shop:upc-10", limit=1)[0]
    assert (change.kind, change.run_id) == (ChangeKind.RESTORED, "run-3")


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_order_of_ends_does_not_change_the_removed_books(
    engine: Engine, scraped: Any, order: tuple[int, ...]
) -> None:
    """The last of three runs has an invalid item of book 10, so the book is not removed, or is restored."""
    ingested(engine, scraped.crawl("run-0", range(1, 11)))
    runs = {number: scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number) for number in (1, 2)}
    items = [scraped.item(key, run="run-3", minute=31) for key in range(1, 10)]
    rejected = scraped.item(10, run="run-3", title=None, minute=31)
    start, end = scraped.started("run-3", minute=30), scraped.finished("run-3", scraped=10, minute=34)
    runs[3] = scraped.entries(start, *items, rejected, end)
    for number in order:
        ingested(engine, runs[number])
    assert live_books(engine) == {f"shop:upc-{key}" for key in range(1, 11)}


def test_runs_that_end_at_once_do_not_undo_each_other(engine: Engine, scraped: Any) -> None:
    """Both do not see book 11. One has an invalid item of book 10, the other has none."""
    ingest = ItemPipeline(engine, HoldPolicy(grace=1))
    ingest.ingest(scraped.crawl("run-0", range(1, 12)))
    *first, _ = scraped.crawl("run-1", range(1, 10), minute=10)
    rejected = scraped.item(10, run="run-1", title=None, minute=11)
    first_end = scraped.entries(scraped.finished("run-1", scraped=10, minute=14))[0]
    *second, second_end = scraped.crawl("run-2", range(1, 10), minute=20)
    ingest.ingest([*first, *scraped.entries(rejected), *second])
    ingest.ingest([second_end, first_end])
    runs = [RunStore(engine).get(run_id) for run_id in ("run-1", "run-2")]
    assert [run.state for run in runs if run] == [RunState.COMPLETE, RunState.COMPLETE]
    assert live_books(engine) == {f"shop:upc-{key}" for key in range(1, 10)}


def test_a_run_whose_start_arrives_last_removes_missing_offers(engine: Engine, scraped: Any) -> None:
    ingested(engine, scraped.crawl("run-0", range(1, 11)))
    ingested(engine, scraped.crawl("run-1", range(1, 10), minute=10))
    start, *rest = scraped.crawl("run-2", range(1, 10), minute=20)
    ingested(engine, rest)
    assert "shop:upc-10" in live_books(engine), "only the start says whether the run crawls the whole source"
    ingested(engine, [start])
    run = RunStore(engine).get("run-2")
    assert run is not None
    assert (run.state, run.removed) == (RunState.COMPLETE, 1)
    assert "shop:upc-10" not in live_books(engine)


def test_a_run_s_end_repeats_a_start_that_redis_lost(engine: Engine, scraped: Any) -> None:
    ingested(engine, scraped.crawl("run-0", range(1, 11)))
    ingested(engine, scraped.crawl("run-1", range(1, 10), minute=10))
    start = scraped.started("run-2", minute=20)
    _, *items, _ = scraped.crawl("run-2", range(1, 10), minute=20)
    ingested(engine, [*items, *scraped.entries(scraped.finished("run-2", scraped=9, minute=24, start=start))])
    run = RunStore(engine).get("run-2")
    assert run is not None
    assert (run.started_at, run.state, run.removed) == (start.started_at, RunState.COMPLETE, 1)
    assert "shop:upc-10" not in live_books(engine)


def test_a_resumed_run_has_the_state_of_its_last_end(new_engine: Callable[[], Engine], scraped: Any) -> None:
    """Its first attempt is partial, its second complete. The end of the second can arrive before its start."""
    entries = scraped.entries(
        scraped.started(minute=1),
        scraped.finished(scraped=1, minute=2, state=RunState.PARTIAL),
        scraped.started(minute=3),
        scraped.finished(scraped=2, minute=4),
    )
    items = scraped.entries(scraped.item(1, minute=1), scraped.item(2, minute=3))
    for shuffled in permutations(entries):
        engine = ingested(new_engine(), [*items, *shuffled])
        run = RunStore(engine).get("run-1")
        assert run is not None
        assert (run.state, run.counts.scraped) == (RunState.COMPLETE, 2)
        assert run.started_at is not None
        assert run.started_at.minute == 1

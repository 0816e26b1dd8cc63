"""Offers that complete runs do not see are removed after the grace, and restored when they are seen again."""

from collections.abc import Callable
from typing import Any

import pytest
from bookwheel_contracts import ChangeKind, CrawlRun, RunState
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.runs.finalizer import RunFinalizer
from bookwheel_stores.records import BookReader, ChangeFeed, RunStore
from bookwheel_stores.records.tables import observation, offer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select

ALL = range(1, 11)


def run_of(engine: Engine, run_id: str) -> CrawlRun:
    run = RunStore(engine).get(run_id)
    assert run is not None
    return run


def kinds(engine: Engine, book_id: str) -> list[ChangeKind]:
    return [change.kind for change in reversed(BookReader(engine).list_changes(book_id, limit=9))]


def live_books(engine: Engine) -> set[str]:
    return {book.id for book in BookReader(engine).page(after_number=0, limit=99)}


@pytest.fixture
def seeded(engine: Engine, scraped: Any) -> Engine:
    """Records with ten books, seen by a complete run."""
    ItemPipeline(engine).ingest(scraped.crawl("run-0", ALL))
    return engine


def test_a_book_that_two_complete_runs_do_not_see_is_removed(seeded: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(seeded)
    ingest.ingest(scraped.crawl("run-1", range(1, 10), minute=10))
    assert (run_of(seeded, "run-1").missed, run_of(seeded, "run-1").removed) == (1, 0)
    assert "shop:upc-10" in live_books(seeded)
    ingest.ingest(scraped.crawl("run-2", range(1, 10), minute=20))
    run = run_of(seeded, "run-2")
    assert (run.state, run.missed, run.removed) == (RunState.COMPLETE, 1, 1)
    assert live_books(seeded) == {f"shop:upc-{key}" for key in range(1, 10)}
    [change, _] = BookReader(seeded).list_changes("shop:upc-10", limit=9)
    assert (change.kind, change.run_id, change.changed_at) == (ChangeKind.REMOVED, "run-2", run.finished_at)
    assert BookReader(seeded).removed_at("shop:upc-10") == run.finished_at
    assert len(BookReader(seeded).list_observations("shop:upc-10", limit=9)) == 1, "the observations stay"
    [state] = [book for book in ChangeFeed(seeded).changed_books(after=0, limit=99).books if book.removed]
    assert state.book_id == "shop:upc-10"
    assert not run.searchable, "before the projection of the removal"
    ChangeFeed(seeded).advance({"search": ChangeFeed(seeded).head()})
    assert run_of(seeded, "run-2").searchable


def test_a_third_run_that_does_not_see_a_removed_offer_changes_nothing(seeded: Engine, scraped: Any) -> None:
    for number in (1, 2, 3):
        ItemPipeline(seeded).ingest(scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    assert (run_of(seeded, "run-3").missed, run_of(seeded, "run-3").removed) == (0, 0)
    assert kinds(seeded, "shop:upc-10") == [ChangeKind.ADDED, ChangeKind.REMOVED]


def test_a_removed_book_that_is_seen_again_is_restored(seeded: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(seeded)
    for number in (1, 2):
        ingest.ingest(scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    ingest.ingest(scraped.crawl("run-3", ALL, minute=30))
    assert kinds(seeded, "shop:upc-10") == [ChangeKind.ADDED, ChangeKind.REMOVED, ChangeKind.RESTORED]
    assert run_of(seeded, "run-3").counts.added == 1
    book = BookReader(seeded).get("shop:upc-10")
    assert book is not None
    assert (book.revision, len(book.offers)) == (3, 1)
    assert BookReader(seeded).removed_at("shop:upc-10") is None
    assert len(BookReader(seeded).list_observations("shop:upc-10", limit=9)) == 2
    with seeded.begin() as connection:
        current = select(func.count()).where(observation.c.superseded_at.is_(None))
        assert connection.scalar(current) == 10


def test_a_sighting_restarts_the_grace(seeded: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(seeded)
    ingest.ingest(scraped.crawl("run-1", range(1, 10), minute=10))
    ingest.ingest(scraped.crawl("run-2", ALL, minute=20))
    ingest.ingest(scraped.crawl("run-3", range(1, 10), minute=30))
    assert "shop:upc-10" in live_books(seeded)
    ingest.ingest(scraped.crawl("run-4", range(1, 10), minute=40))
    assert "shop:upc-10" not in live_books(seeded)


@pytest.mark.parametrize(
    "options",
    [
        {"whole": False},
        {"state": RunState.PARTIAL},
        {"state": RunState.FAILED},
        {"state": RunState.CANCELLED},
    ],
)
def test_only_complete_runs_of_the_whole_source_count(seeded: Engine, scraped: Any, options: dict[str, Any]) -> None:
    for number in range(1, 5):
        ItemPipeline(seeded).ingest(scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number, **options))
    assert run_of(seeded, "run-4").missed == 0
    ItemPipeline(seeded).ingest(scraped.crawl("run-5", range(1, 10), minute=60))
    assert len(live_books(seeded)) == 10


def test_a_run_of_another_source_removes_nothing(seeded: Engine, scraped: Any) -> None:
    for number in (1, 2):
        items = [scraped.item(1, run=f"rival-{number}", source="rival", minute=10 * number + 1)]
        start = scraped.started(f"rival-{number}", minute=10 * number).model_copy(update={"source": "rival"})
        end = scraped.finished(f"rival-{number}", scraped=1, minute=10 * number + 4)
        ItemPipeline(seeded).ingest(scraped.entries(start, *items, end.model_copy(update={"source": "rival"})))
    assert len(live_books(seeded)) == 11


def test_a_run_does_not_remove_offers_of_another_site(seeded: Engine, scraped: Any) -> None:
    """A run with another start URL crawled this site. The source's own runs do not crawl it."""
    foreign = scraped.crawl("foreign", range(1, 6), minute=1, whole=False, site="rival.example")
    ItemPipeline(seeded).ingest(foreign)
    assert len(live_books(seeded)) == 15
    for number in (1, 2, 3):
        ItemPipeline(seeded).ingest(scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    assert live_books(seeded) == {f"shop:upc-{key}" for key in range(1, 10)} | {
        f"shop:@rival.example~upc-{key}" for key in range(1, 6)
    }
    assert (run_of(seeded, "run-2").missed, run_of(seeded, "run-2").removed) == (1, 1)
    late = ItemPipeline(seeded).ingest(scraped.entries(scraped.item(6, run="slow", minute=2, site="rival.example")))
    assert late.verdicts["slow"] == {"added": 1}, "no later run could have seen it"


def test_the_limit_of_a_run_counts_the_offers_of_its_own_site(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.crawl("run-0", range(1, 26)))
    ingest.ingest(scraped.crawl("foreign-0", range(1, 201), whole=False, site="rival.example"))
    ingest.ingest(scraped.crawl("foreign-1", range(1, 11), minute=10, whole=False, site="rival.example:81"))
    ingest.ingest(scraped.crawl("run-1", range(1, 26), minute=20, price="£11.00"))
    ingest.ingest(
        scraped.crawl("foreign-2", range(1, 31), minute=20, whole=False, site="rival.example", price="£11.00")
    )
    ingest.ingest(
        scraped.crawl("foreign-3", range(1, 11), minute=20, whole=False, site="rival.example:81", price="£1.00")
    )
    held = run_of(engine, "run-1")
    assert held.state is RunState.HELD, "all of its own 25 offers would change"
    assert held.hold is not None
    assert held.hold.known == 25
    assert run_of(engine, "foreign-2").state is RunState.COMPLETE, "30 of 200"
    assert run_of(engine, "foreign-3").counts.modified == 10, "too few offers to be held"


def test_a_source_may_declare_another_grace(seeded: Engine, scraped: Any) -> None:
    ItemPipeline(seeded).ingest(scraped.crawl("run-1", range(1, 10), minute=10, expect={"grace": 1}))
    assert "shop:upc-10" not in live_books(seeded)


def test_a_book_of_two_shops_loses_only_the_removed_offer(engine: Engine, scraped: Any) -> None:
    isbn = "0306406152"
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.crawl("run-0", ALL))
    ingest.ingest(scraped.entries(scraped.item(11, run="run-x", isbn=isbn, price="£5", minute=1)))
    rival = scraped.item(1, run="rival-1", source="rival", key="r", isbn=isbn, price="£7", minute=1)
    ingest.ingest(scraped.entries(rival))
    for number in (1, 2):
        ingest.ingest(scraped.crawl(f"run-{number}", ALL, minute=10 * number))
    book = BookReader(engine).get("isbn:9780306406157")
    assert book is not None
    assert [book_offer.source for book_offer in book.offers] == ["rival"]
    assert str(book.price.amount if book.price else "") == "7.00"
    change = BookReader(engine).list_changes(book.id, limit=1)[0]
    assert (change.kind, change.run_id) == (ChangeKind.MODIFIED, "run-2")
    assert {"offers", "price"} <= set(change.fields)


def test_a_rejected_item_counts_as_a_sighting_of_its_offer(seeded: Engine, scraped: Any) -> None:
    for number in (1, 2):
        items = [scraped.item(key, run=f"run-{number}", minute=10 * number + 1) for key in range(1, 10)]
        broken = scraped.item(10, run=f"run-{number}", title=None, minute=10 * number + 1)
        start, end = (
            scraped.started(f"run-{number}", minute=10 * number),
            scraped.finished(f"run-{number}", scraped=10, minute=10 * number + 4),
        )
        ItemPipeline(seeded).ingest(scraped.entries(start, *items, broken, end))
    assert (run_of(seeded, "run-2").state, run_of(seeded, "run-2").missed) == (RunState.COMPLETE, 0)
    assert len(live_books(seeded)) == 10


def test_a_run_with_an_unidentified_item_removes_nothing(seeded: Engine, scraped: Any) -> None:
    for number in (1, 2):
        messages = [scraped.item(key, run=f"run-{number}", minute=10 * number + 1) for key in range(1, 10)]
        garbled = (
            scraped.item(10, run=f"run-{number}").model_dump_json().replace('"payload":{', '"payload":[{').encode()
        )
        start, end = (
            scraped.started(f"run-{number}", minute=10 * number),
            scraped.finished(f"run-{number}", scraped=10, minute=10 * number + 4),
        )
        ItemPipeline(seeded).ingest(scraped.entries(start, *messages, garbled, end))
    assert run_of(seeded, "run-2").state is RunState.COMPLETE
    assert len(live_books(seeded)) == 10


def test_a_late_item_from_before_the_removal_does_not_restore_the_offer(seeded: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(seeded)
    for number in (1, 2):
        ingest.ingest(scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    late = ingest.ingest(scraped.entries(scraped.item(10, run="slow", minute=9)))
    assert "shop:upc-10" not in live_books(seeded), "both complete runs started after it was scraped"
    assert late.verdicts["slow"] == {"duplicate": 1}
    later = ingest.ingest(scraped.entries(scraped.item(10, run="slow-2", minute=12)))
    assert "shop:upc-10" in live_books(seeded), "it was scraped during the first of the two runs"
    assert later.verdicts["slow-2"] == {"added": 1}


def test_an_offer_restored_with_an_isbn_belongs_to_its_new_book(seeded: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(seeded)
    for number in (1, 2):
        ingest.ingest(scraped.crawl(f"run-{number}", range(1, 10), minute=10 * number))
    ingest.ingest(scraped.entries(scraped.item(10, run="run-3", minute=30, isbn="0306406152")))
    assert kinds(seeded, "shop:upc-10") == [ChangeKind.ADDED, ChangeKind.REMOVED], "not removed twice"
    assert "isbn:9780306406157" in live_books(seeded)


def test_a_worker_that_died_between_a_run_s_items_and_its_end_loses_nothing(
    seeded: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ItemPipeline(seeded).ingest(scraped.crawl("run-1", range(1, 10), minute=10))
    with monkeypatch.context() as patch:
        patch.setattr(RunFinalizer, "advance", lambda *_: 0)
        ItemPipeline(seeded).ingest(scraped.crawl("run-2", range(1, 10), minute=20))
    assert run_of(seeded, "run-2").state is RunState.RUNNING
    RunFinalizer(seeded, HoldPolicy()).advance()
    assert run_of(seeded, "run-2").state is RunState.COMPLETE
    assert "shop:upc-10" not in live_books(seeded)


def test_removals_are_split_into_several_steps(engine: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookwheel_processor.runs.finalizer._STEP_SIZE", 3)
    ingest = ItemPipeline(engine, HoldPolicy(share=1))
    ingest.ingest(scraped.crawl("run-0", range(1, 31)))
    for number in (1, 2):
        ingest.ingest(scraped.crawl(f"run-{number}", range(1, 21), minute=10 * number))
    assert (run_of(engine, "run-2").removed, len(live_books(engine))) == (10, 20)


_days = st.lists(st.sets(st.integers(1, 6), min_size=1), min_size=3, max_size=5)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(days=_days, data=st.data())
def test_runs_that_arrive_in_any_order_leave_the_same_books(
    new_engine: Callable[[], Engine], scraped: Any, days: list[set[int]], data: st.DataObject
) -> None:
    """After a last run, the catalog has the same books: those that one of the last two runs saw."""
    runs = [scraped.crawl(f"run-{day}", sorted(seen), minute=10 * day) for day, seen in enumerate(days)]
    entries = [entry for run in runs for entry in run]
    shuffled = data.draw(st.permutations(entries))
    size = data.draw(st.integers(1, 7))
    engine = new_engine()
    for at in range(0, len(shuffled), size):
        ItemPipeline(engine).ingest(shuffled[at : at + size])
    last = scraped.crawl("run-last", sorted(days[-1]), minute=10 * len(days))
    ItemPipeline(engine).ingest(last)
    assert live_books(engine) == {f"shop:upc-{key}" for key in days[-1]}
    with engine.begin() as connection:
        live = connection.scalar(select(func.count()).select_from(offer).where(offer.c.removed_at.is_(None)))
        in_force = connection.scalar(select(func.count()).where(observation.c.superseded_at.is_(None)))
    assert live == in_force == len(days[-1])

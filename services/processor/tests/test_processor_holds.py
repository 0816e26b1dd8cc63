"""A run that would modify or remove too many offers is held until an operator decides."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from bookwheel_contracts import ChangeKind, CrawlRun, RunState, Verdict
from bookwheel_processor.ingest.apply import apply_items
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.replay import Replay
from bookwheel_processor.runs import finalizer
from bookwheel_processor.runs.finalizer import RunFinalizer
from bookwheel_stores.records import BookReader, ChangeFeed, RunStore
from bookwheel_stores.records.runs.quarantine import RUN_DISCARDED_CODE, QuarantineStore
from bookwheel_stores.records.tables import staged_item
from bookwheel_stores.streams import StreamEntry
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DataError

ALL = range(1, 51)
NOW = datetime(2026, 2, 1, tzinfo=UTC)
POLICY = HoldPolicy()


def run_of(engine: Engine, run_id: str) -> CrawlRun:
    run = RunStore(engine).get(run_id)
    assert run is not None
    return run


def prices(engine: Engine) -> set[str]:
    books = BookReader(engine).page(after_number=0, limit=999)
    return {str(book.price.amount) for book in books if book.price}


def accounted(run: CrawlRun) -> int:
    return sum(getattr(run.counts, verdict.value) for verdict in Verdict)


def repriced(scraped: Any, run: str, count: int, *, minute: float, **options: Any) -> list[StreamEntry]:
    """A run of the whole shop with a changed price of the first `count` books."""
    items = [scraped.item(key, run=run, minute=minute + 1, price="£99" if key <= count else "£10.00") for key in ALL]
    start = scraped.started(run, minute=minute, **options)
    end = scraped.finished(run, scraped=len(items), minute=minute + 4)
    entries: list[StreamEntry] = scraped.entries(start, *items, end)
    return entries


def one_by_one(engine: Engine, entries: list[StreamEntry]) -> None:
    for entry in entries:
        ItemPipeline(engine).ingest([entry])


def decide(engine: Engine, run_id: str, *, release: bool) -> None:
    assert RunStore(engine).decide(run_id, release=release, by="ann", now=NOW)
    RunFinalizer(engine, POLICY).advance()


@pytest.fixture
def seeded(engine: Engine, scraped: Any) -> Engine:
    """Records with fifty books, seen by a complete run."""
    ItemPipeline(engine).ingest(scraped.crawl("run-0", ALL))
    return engine


def test_a_run_that_would_change_too_much_changes_nothing(seeded: Engine, scraped: Any) -> None:
    head = ChangeFeed(seeded).head()
    one_by_one(seeded, repriced(scraped, "run-1", 11, minute=10))
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.staged, run.counts.unchanged) == (RunState.HELD, 11, 39)
    assert run.counts.scraped == accounted(run) + run.counts.staged == 50
    assert run.hold is not None
    assert (run.hold.known, run.hold.modifies, run.hold.removes) == (50, 11, 0)
    assert run.reason == "it would modify 11 and remove 0 of 50 offers, but only 10 may change"
    assert not run.searchable, "its staged items are not in the catalog"
    assert run.finished_at is not None
    assert ChangeFeed(seeded).head() == head
    assert prices(seeded) == {"10.00"}


def test_a_run_at_the_limit_is_not_held(seeded: Engine, scraped: Any) -> None:
    one_by_one(seeded, repriced(scraped, "run-1", 10, minute=10))
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.modified, run.counts.unchanged, run.counts.staged) == (RunState.COMPLETE, 10, 40, 0)
    assert run.hold is None
    assert prices(seeded) == {"10.00", "99.00"}


def test_staged_items_are_applied_once_the_limit_cannot_be_exceeded(seeded: Engine, scraped: Any) -> None:
    entries = repriced(scraped, "run-1", 3, minute=10)
    for entry in entries[:4]:
        ItemPipeline(seeded).ingest([entry])
    assert (run_of(seeded, "run-1").counts.staged, prices(seeded)) == (3, {"10.00"})
    for entry in entries[4:43]:
        ItemPipeline(seeded).ingest([entry])
    assert prices(seeded) == {"10.00"}, "39 unchanged: 11 could still change"
    ItemPipeline(seeded).ingest([entries[43]])
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.staged, run.counts.modified) == (RunState.RUNNING, 0, 3)
    assert prices(seeded) == {"10.00", "99.00"}


def test_one_batch_that_holds_the_whole_run_stages_nothing(seeded: Engine, scraped: Any) -> None:
    result = ItemPipeline(seeded).ingest(repriced(scraped, "run-1", 10, minute=10))
    assert result.verdicts["run-1"] == {Verdict.MODIFIED: 10, Verdict.UNCHANGED: 40}


def test_new_offers_are_applied_at_once(seeded: Engine, scraped: Any) -> None:
    items = [scraped.item(key, run="run-1", minute=11) for key in range(51, 90)]
    one_by_one(seeded, scraped.entries(scraped.started("run-1", minute=10), *items))
    assert BookReader(seeded).count() == 89


def test_a_run_that_would_remove_too_much_removes_nothing(seeded: Engine, scraped: Any) -> None:
    for number in (1, 2):
        ItemPipeline(seeded).ingest(scraped.crawl(f"run-{number}", range(1, 40), minute=10 * number))
    run = run_of(seeded, "run-2")
    assert (run_of(seeded, "run-1").state, run.state) == (RunState.COMPLETE, RunState.HELD)
    assert run.hold is not None
    assert (run.hold.modifies, run.hold.removes, run.removed) == (0, 11, 0)
    assert BookReader(seeded).count() == 50
    decide(seeded, "run-2", release=True)
    run = run_of(seeded, "run-2")
    assert (run.state, run.removed, BookReader(seeded).count()) == (RunState.COMPLETE, 11, 39)


def test_a_run_that_renames_all_offers_is_held(seeded: Engine, scraped: Any) -> None:
    for number in (1, 2):
        ItemPipeline(seeded).ingest(scraped.crawl(f"run-{number}", range(101, 151), minute=10 * number))
    assert run_of(seeded, "run-2").state is RunState.HELD
    assert BookReader(seeded).count() == 100


def test_a_held_run_does_not_count_as_complete(seeded: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(seeded)
    ingest.ingest(scraped.crawl("run-1", range(1, 50), minute=10))
    ingest.ingest(scraped.crawl("run-2", range(1, 50), minute=20, price="£99"))
    assert run_of(seeded, "run-2").state is RunState.HELD
    assert BookReader(seeded).count() == 50
    ingest.ingest(scraped.crawl("run-3", range(1, 50), minute=30))
    assert (run_of(seeded, "run-3").state, BookReader(seeded).count()) == (RunState.COMPLETE, 49)


def test_a_released_run_is_applied_and_its_counts_add_up(seeded: Engine, scraped: Any) -> None:
    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    decide(seeded, "run-1", release=True)
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.modified, run.counts.staged) == (RunState.COMPLETE, 30, 0)
    assert run.counts.scraped == accounted(run) == 50
    assert run.hold is not None
    assert (run.hold.decision, run.hold.decided_by, run.hold.decided_at) == ("released", "ann", NOW)
    assert prices(seeded) == {"10.00", "99.00"}
    assert BookReader(seeded).list_changes("shop:upc-1", limit=1)[0].kind is ChangeKind.MODIFIED
    assert not run.searchable
    ChangeFeed(seeded).advance({"search": ChangeFeed(seeded).head()})
    assert run_of(seeded, "run-1").searchable


def test_a_discarded_run_is_quarantined_and_its_counts_add_up(seeded: Engine, scraped: Any) -> None:
    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    decide(seeded, "run-1", release=False)
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.quarantined, run.counts.staged) == (RunState.CANCELLED, 30, 0)
    assert run.counts.scraped == accounted(run) == 50
    assert prices(seeded) == {"10.00"}
    entries = QuarantineStore(seeded).list_open(limit=99)
    assert {(entry.reasons[0].code, entry.run_id, entry.source) for entry in entries} == {
        (RUN_DISCARDED_CODE, "run-1", "shop")
    }
    with seeded.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(staged_item)) == 0


def test_a_discarded_item_is_replayed_by_number_but_not_with_all(seeded: Engine, scraped: Any) -> None:
    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    decide(seeded, "run-1", release=False)
    assert Replay(seeded).replay_all().verdicts == {}
    item = QuarantineStore(seeded).list_open(limit=1)[0]
    result = Replay(seeded).replay_entry_number(item.number)
    assert result is not None
    assert result.verdicts == {Verdict.MODIFIED: 1}
    run = run_of(seeded, "run-1")
    assert (run.counts.modified, run.counts.quarantined) == (1, 29)
    assert run.counts.scraped == accounted(run)


def test_only_a_held_run_can_be_decided_and_only_once(seeded: Engine, scraped: Any) -> None:
    store = RunStore(seeded)
    assert not store.decide("run-0", release=True, by="ann", now=NOW)
    assert not store.decide("run-9", release=True, by="ann", now=NOW)
    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    assert store.decide("run-1", release=True, by="ann", now=NOW)
    assert not store.decide("run-1", release=False, by="bob", now=NOW)
    RunFinalizer(seeded, POLICY).advance()
    assert run_of(seeded, "run-1").counts.modified == 30


def test_a_release_does_not_undo_a_later_run(seeded: Engine, scraped: Any) -> None:
    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    items = [scraped.item(1, run="run-2", minute=21, price="£5.00")]
    ItemPipeline(seeded, HoldPolicy(share=1)).ingest(scraped.entries(*items))
    decide(seeded, "run-1", release=True)
    run = run_of(seeded, "run-1")
    assert (run.counts.modified, run.counts.duplicate) == (29, 1)
    book = BookReader(seeded).get("shop:upc-1")
    assert book is not None
    assert str(book.price.amount if book.price else "") == "5.00"


def test_a_source_may_declare_that_it_is_never_held(seeded: Engine, scraped: Any) -> None:
    entries = repriced(scraped, "run-1", 50, minute=10, share=1)
    ItemPipeline(seeded).ingest(entries[:2])
    assert prices(seeded) == {"10.00", "99.00"}, "it is modified at once"
    ItemPipeline(seeded).ingest(entries[2:])
    assert run_of(seeded, "run-1").state is RunState.COMPLETE


def test_a_small_source_is_never_held(engine: Engine, scraped: Any) -> None:
    ItemPipeline(engine).ingest(scraped.crawl("run-0", range(1, 20)))
    ItemPipeline(engine).ingest(scraped.crawl("run-1", range(1, 20), minute=10, price="£99"))
    assert run_of(engine, "run-1").state is RunState.COMPLETE


@pytest.mark.parametrize("state", [RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED])
def test_a_partial_run_is_held_too(seeded: Engine, scraped: Any, state: RunState) -> None:
    one_by_one(seeded, scraped.crawl("run-1", range(1, 12), minute=10, price="£99", state=state))
    assert run_of(seeded, "run-1").state is RunState.HELD
    decide(seeded, "run-1", release=True)
    assert run_of(seeded, "run-1").state is state


@pytest.mark.parametrize(
    ("expect", "keys", "payload", "code"),
    [
        ({"items": 51}, ALL, {}, "items"),
        ({"fill": {"description": 0.9}}, ALL, {}, "fill"),
        ({"fill": {"price": 0.9}}, ALL, {"price": None}, "fill"),
        ({"items": 50}, ALL, {"title": None}, "items"),
        ({"fill": {"price": 0.9}}, ALL, {"price": "tuppence"}, "fill"),
    ],
)
def test_a_run_below_its_source_s_expectations_is_held(
    seeded: Engine, scraped: Any, expect: dict[str, Any], keys: range, payload: dict[str, Any], code: str
) -> None:
    one_by_one(seeded, scraped.crawl("run-1", keys, minute=10, expect=expect, **payload))
    run = run_of(seeded, "run-1")
    assert run.state is RunState.HELD
    assert run.hold is not None
    assert code in [reason.code for reason in run.hold.reasons]


def test_expectations_hold_a_run_also_if_redis_lost_its_start(seeded: Engine, scraped: Any) -> None:
    _, *items, _ = scraped.crawl("run-1", ALL, minute=10)
    start = scraped.started("run-1", minute=10, items=len(ALL) + 1)
    end = scraped.finished("run-1", scraped=len(ALL), minute=14, start=start)
    one_by_one(seeded, [*items, *scraped.entries(end)])
    assert run_of(seeded, "run-1").state is RunState.HELD


def test_a_run_with_expectations_is_checked_at_its_end(seeded: Engine, scraped: Any) -> None:
    entries = repriced(scraped, "run-1", 3, minute=10, fill={"price": 1.0}, items=50)
    one_by_one(seeded, entries[:-1])
    assert (run_of(seeded, "run-1").counts.staged, prices(seeded)) == (3, {"10.00"})
    one_by_one(seeded, entries[-1:])
    assert (run_of(seeded, "run-1").state, prices(seeded)) == (RunState.COMPLETE, {"10.00", "99.00"})


def test_new_offers_of_a_run_with_expectations_are_staged(seeded: Engine, scraped: Any) -> None:
    """For example if the shop has new keys. Otherwise each book would be in the catalog twice."""
    renamed = scraped.crawl("run-1", range(101, 151), minute=10, expect={"fill": {"description": 0.9}})
    one_by_one(seeded, renamed)
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.staged, BookReader(seeded).count()) == (RunState.HELD, 50, 50)
    assert run.hold is not None
    assert run.hold.modifies == 0
    decide(seeded, "run-1", release=False)
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.quarantined, BookReader(seeded).count()) == (RunState.CANCELLED, 50, 50)


def test_the_first_offers_of_a_source_with_expectations_are_added_at_once(engine: Engine, scraped: Any) -> None:
    one_by_one(engine, scraped.crawl("run-1", [1, 2], expect={"items": 2})[:-1])
    assert BookReader(engine).count() == 2


def test_a_partial_crawl_needs_no_minimum_number_of_items(seeded: Engine, scraped: Any) -> None:
    one_by_one(seeded, scraped.crawl("run-1", range(1, 3), minute=10, whole=False, expect={"items": 50}))
    assert run_of(seeded, "run-1").state is RunState.COMPLETE


def test_the_next_worker_continues_a_release_that_was_killed(
    seeded: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookwheel_processor.runs.finalizer._STEP_SIZE", 7)
    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    assert RunStore(seeded).decide("run-1", release=True, by="ann", now=NOW)
    RunFinalizer(seeded, POLICY)._step(2)  # killed after one step
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.modified, run.counts.staged) == (RunState.RUNNING, 7, 23)
    RunFinalizer(seeded, POLICY).advance()
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.modified, run.counts.staged) == (RunState.COMPLETE, 30, 0)


def test_a_staged_item_that_the_database_rejects_does_not_affect_others(
    seeded: Engine, scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject_one(writer: Any, missing_offers: Any, accepted: Any, *rest: Any) -> Any:
        if any(item.offer.source_key == "upc-7" for item in accepted):
            raise DataError("UPDATE offer", {}, Exception("numeric value out of range"))
        return apply_items(writer, missing_offers, accepted, *rest)

    one_by_one(seeded, repriced(scraped, "run-1", 30, minute=10))
    monkeypatch.setattr(finalizer, "apply_items", reject_one)
    decide(seeded, "run-1", release=True)
    run = run_of(seeded, "run-1")
    assert (run.state, run.counts.modified, run.counts.quarantined) == (RunState.COMPLETE, 29, 1)
    [entry] = QuarantineStore(seeded).list_open(limit=9)
    assert (entry.code, entry.url) == (
        "refused_by_database",
        "http://shop.example/catalogue/upc-7/index.html",
    )


def test_concurrent_workers_reach_the_same_result(seeded: Engine, scraped: Any) -> None:
    """All workers ingest and finish two runs, one of which is held."""
    runs = repriced(scraped, "run-1", 9, minute=10) + repriced(scraped, "run-2", 30, minute=10, grace=5)
    random.Random(7).shuffle(runs)
    parts = [runs[at : at + 5] for at in range(0, len(runs), 5)]
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda part: ItemPipeline(seeded).ingest(part), parts))
        list(workers.map(lambda _: RunFinalizer(seeded, POLICY).advance(), range(4)))
    complete, held = run_of(seeded, "run-1"), run_of(seeded, "run-2")
    assert (complete.state, held.state) == (RunState.COMPLETE, RunState.HELD)
    for run in (complete, held):
        assert run.counts.scraped == 50 == accounted(run) + run.counts.staged
    assert RunStore(seeded).decide("run-2", release=True, by="ann", now=NOW)
    with ThreadPoolExecutor(4) as workers:
        list(workers.map(lambda _: RunFinalizer(seeded, POLICY).advance(), range(4)))
    assert run_of(seeded, "run-2").state is RunState.COMPLETE
    assert accounted(run_of(seeded, "run-2")) == 50


_sightings = st.lists(
    st.tuples(st.integers(1, 30), st.sampled_from(["£10.00", "£10.00", "£10.00", "£99", "tuppence"])),
    min_size=20,
    max_size=40,
)


@settings(
    max_examples=25,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(sightings=_sightings, release=st.booleans(), data=st.data())
def test_counts_add_up_in_any_order_before_and_after_a_decision(
    new_engine: Callable[[], Engine],
    scraped: Any,
    sightings: list[tuple[int, str]],
    release: bool,
    data: st.DataObject,
) -> None:
    engine = new_engine()
    ItemPipeline(engine).ingest(scraped.crawl("run-0", range(1, 31)))
    items = [
        scraped.item(number, run="run-1", minute=11, key=f"upc-{key}", title=f"Book {key}", price=price)
        for number, (key, price) in enumerate(sightings, 1)
    ]
    end = scraped.finished("run-1", scraped=len(items), minute=14)
    once = scraped.entries(scraped.started("run-1", minute=10), *items, end)
    again = [StreamEntry(f"9{entry.id}", entry.body, 2) for entry in once]
    deliveries = data.draw(st.permutations(once + data.draw(st.lists(st.sampled_from(again), max_size=6))))
    size = data.draw(st.integers(1, 12))
    for at in range(0, len(deliveries), size):
        ItemPipeline(engine).ingest(deliveries[at : at + size])
    run = run_of(engine, "run-1")
    assert run.state in (RunState.COMPLETE, RunState.HELD)
    assert run.counts.scraped == len(items) == accounted(run) + run.counts.staged
    if run.state is RunState.HELD:
        assert prices(engine) == {"10.00"}
        assert RunStore(engine).decide("run-1", release=release, by="ann", now=NOW)
        RunFinalizer(engine, POLICY).advance()
        run = run_of(engine, "run-1")
        assert run.state is (RunState.COMPLETE if release else RunState.CANCELLED)
    assert run.counts.scraped == len(items) == accounted(run)


@pytest.mark.parametrize("late", ["start", "end"])
def test_a_held_run_is_checked_again_when_late_entries_arrive(seeded: Engine, scraped: Any, late: str) -> None:
    """Without its start, or as a partial run, it removes nothing. Its reasons must show the later removals."""
    seen = range(1, 39)
    ItemPipeline(seeded).ingest(scraped.crawl("run-1", seen, minute=10))
    items = [scraped.item(key, run="run-2", minute=21, price="£99" if key <= 11 else "£10.00") for key in seen]
    start = scraped.started("run-2", minute=20)
    end = scraped.finished("run-2", scraped=len(items), minute=24)
    partial_end = scraped.finished("run-2", scraped=len(items), minute=23, state=RunState.PARTIAL)
    early = [*items, end] if late == "start" else [start, *items, partial_end]
    ItemPipeline(seeded).ingest(scraped.entries(*early))
    held = run_of(seeded, "run-2")
    assert held.hold is not None
    assert (held.state, held.hold.modifies, held.hold.removes) == (RunState.HELD, 11, 0)

    ItemPipeline(seeded).ingest(scraped.entries(start if late == "start" else end))
    held = run_of(seeded, "run-2")
    assert held.hold is not None
    assert (held.state, held.hold.modifies, held.hold.removes) == (RunState.HELD, 11, 12)
    assert prices(seeded) == {"10.00"}
    decide(seeded, "run-2", release=True)
    run = run_of(seeded, "run-2")
    assert (run.state, run.counts.modified, run.removed) == (RunState.COMPLETE, 11, 12)


def test_items_before_their_run_s_start_have_the_last_run_s_expectations(seeded: Engine, scraped: Any) -> None:
    """Two workers can ingest the first batches of a run in any order."""
    ItemPipeline(seeded).ingest(scraped.crawl("run-1", ALL, minute=10, expect={"fill": {"price": 0.9}}))
    items = [scraped.item(key, run="run-2", minute=21, price=None) for key in (*ALL, *range(51, 71))]
    ItemPipeline(seeded).ingest(scraped.entries(*items))
    run = run_of(seeded, "run-2")
    assert (run.counts.staged, run.counts.added) == (70, 0)
    start = scraped.started("run-2", minute=20, fill={"price": 0.9})
    ItemPipeline(seeded).ingest(scraped.entries(start, scraped.finished("run-2", scraped=70, minute=24)))
    run = run_of(seeded, "run-2")
    assert (run.state, run.counts.staged) == (RunState.HELD, 70)
    assert run.hold is not None
    assert "fill" in [reason.code for reason in run.hold.reasons]
    assert BookReader(seeded).count() == 50


def test_a_run_whose_start_is_lost_has_the_last_run_s_expectations(seeded: Engine, scraped: Any) -> None:
    ItemPipeline(seeded).ingest(scraped.crawl("run-1", ALL, minute=10, expect={"share": 0.02}))
    items = [scraped.item(key, run="run-2", minute=21, price="£99" if key <= 2 else "£10.00") for key in ALL]
    ItemPipeline(seeded).ingest(scraped.entries(*items, scraped.finished("run-2", scraped=len(items), minute=24)))
    run = run_of(seeded, "run-2")
    assert (run.state, run.counts.staged) == (RunState.HELD, 2)

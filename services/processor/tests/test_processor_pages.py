"""Pages of runs and faults of fields: stored and counted once, bounded by expectations, deleted after their time."""

from datetime import timedelta
from typing import Any

from bookwheel_contracts import FetchedPage, FieldFault, PageOutcome, RunFinished, RunPages, RunState
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.replay import Replay
from bookwheel_processor.runs.sweep import delete_old_pages
from bookwheel_stores.records import RunStore, in_transaction
from bookwheel_stores.records.runs.field_faults import FieldFaultReader
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.pages import RunPageReader
from bookwheel_stores.records.runs.quality import QualityReader
from bookwheel_stores.records.values import to_millis, utc_now
from sqlalchemy import Engine

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
BROKEN = FieldFault(field="page", code="unreadable_json_ld", text="{oops")
NO_COUNT = FieldFault(field="pages", code="not_a_count", text="many")


def pages_message(first: int, *outcomes: PageOutcome, run: str = "run-1") -> RunPages:
    pages = tuple(
        FetchedPage(
            url=f"http://shop.example/{number}",
            outcome=outcome,
            reason="Expecting ','" if outcome is PageOutcome.UNREADABLE else None,
            position="JSON-LD block 1, line 7" if outcome is PageOutcome.UNREADABLE else None,
            faults=(BROKEN,) if outcome is PageOutcome.UNREADABLE else (),
        )
        for number, outcome in enumerate(outcomes, start=first)
    )
    return RunPages(run_id=run, source="shop", first_page=first, pages=pages, traceparent=TRACEPARENT)


def end_of(scraped: Any, *, scraped_items: int, pages: int, run: str = "run-1") -> RunFinished:
    end: RunFinished = scraped.finished(run, scraped=scraped_items)
    return end.model_copy(update={"pages": pages, "published_pages": pages})


OUTCOMES = (PageOutcome.LIST, PageOutcome.BOOK, PageOutcome.UNREADABLE, PageOutcome.OTHER, PageOutcome.FAILED)


def test_redelivered_pages_are_counted_once(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    entries = scraped.entries(scraped.started(), scraped.item(1), pages_message(1, *OUTCOMES))
    pipeline.ingest(entries)
    pipeline.ingest(entries)
    # A repeated batch may start at another page.
    pipeline.ingest(scraped.entries(pages_message(4, *OUTCOMES[3:], PageOutcome.BOOK)))
    pipeline.ingest(scraped.entries(end_of(scraped, scraped_items=1, pages=6)))
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert run.state is RunState.COMPLETE
    assert run.page_counts.model_dump() == {"book": 2, "list": 1, "other": 1, "unreadable": 1, "failed": 1}
    assert run.pages == sum(run.page_counts.model_dump().values()) == 6
    assert run.faults == 1


def test_pages_are_listed_by_outcome(engine: Engine, scraped: Any) -> None:
    ItemPipeline(engine).ingest(scraped.entries(scraped.started(), pages_message(1, *OUTCOMES * 2)))
    reader = RunPageReader(engine)
    first = reader.page("run-1", outcome=None, after_number=0, limit=4)
    assert [page.number for page in first] == [1, 2, 3, 4]
    [page, other] = reader.page("run-1", outcome=PageOutcome.UNREADABLE, after_number=0, limit=9)
    assert (page.number, page.url, page.position) == (3, "http://shop.example/3", "JSON-LD block 1, line 7")
    assert other.number == 8
    assert reader.page("run-1", outcome=PageOutcome.UNREADABLE, after_number=3, limit=9) == [other]
    assert reader.page("other", outcome=None, after_number=0, limit=9) == []


def test_a_run_ends_after_its_last_page_has_arrived(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    pipeline.ingest(scraped.entries(scraped.started(), scraped.item(1), end_of(scraped, scraped_items=1, pages=2)))
    store = RunStore(engine)
    run = store.get("run-1")
    assert run is not None
    assert run.state is RunState.RUNNING
    pipeline.ingest(scraped.entries(pages_message(1, PageOutcome.LIST, PageOutcome.BOOK)))
    run = store.get("run-1")
    assert run is not None
    assert run.state is RunState.COMPLETE


def test_a_run_with_lost_pages_is_closed_as_partial(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    pipeline.ingest(
        scraped.entries(
            scraped.started(),
            scraped.item(1),
            pages_message(1, PageOutcome.BOOK),
            end_of(scraped, scraped_items=1, pages=3),
        )
    )
    late = to_millis(utc_now() + timedelta(days=1))
    assert in_transaction(engine, lambda connection: RunLedger(connection).close_incomplete(before=late)) == 1
    pipeline.ingest(scraped.entries(scraped.started()))
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.state, run.reason) == (RunState.PARTIAL, "2 pages were lost on their way to the processor")


def test_a_run_with_too_many_unreadable_pages_is_held(engine: Engine, scraped: Any) -> None:
    expect = {"pages": {"unreadable": 0.1}}
    outcomes = [PageOutcome.BOOK] * 17 + [PageOutcome.UNREADABLE] * 3
    ItemPipeline(engine).ingest(scraped.crawl("run-0", range(1, 4)))
    items = [scraped.item(number, minute=11, price="£11.00") for number in range(1, 4)]
    end = end_of(scraped, scraped_items=3, pages=20)
    ItemPipeline(engine).ingest(
        scraped.entries(scraped.started(minute=10, **expect), *items, pages_message(1, *outcomes), end)
    )
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert run.state is RunState.HELD
    assert run.reason == "15.0% of its pages are unreadable, but at most 10.0% may be"
    assert run.counts.staged == 3
    report = QualityReader(engine).get("run-1")
    assert report is not None
    [assertion] = report.assertions
    assert (assertion.kind, assertion.field, assertion.most, assertion.actual, assertion.holds) == (
        "pages",
        "unreadable",
        0.1,
        0.15,
        False,
    )


def test_a_run_within_its_bound_is_not_held(engine: Engine, scraped: Any) -> None:
    outcomes = [PageOutcome.BOOK] * 9 + [PageOutcome.UNREADABLE]
    start = scraped.started(pages={"unreadable": 0.1})
    end = end_of(scraped, scraped_items=1, pages=10)
    ItemPipeline(engine).ingest(scraped.entries(start, scraped.item(1), pages_message(1, *outcomes), end))
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert run.state is RunState.COMPLETE


def test_faults_of_items_are_counted_and_listed_once(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    faulty = [scraped.item(number).model_copy(update={"faults": (NO_COUNT,)}) for number in (1, 2)]
    entries = scraped.entries(scraped.started(), *faulty, scraped.item(3), pages_message(1, PageOutcome.UNREADABLE))
    pipeline.ingest(entries)
    pipeline.ingest(entries)
    report = QualityReader(engine).get("run-1")
    assert report is not None
    assert [(count.field, count.code, count.faults) for count in report.field_faults] == [
        ("pages", "not_a_count", 2),
        ("page", "unreadable_json_ld", 1),
    ]
    assert (report.valid, report.items) == (3, 3)
    reader = FieldFaultReader(engine)
    faults = reader.page("shop", field="pages", limit=9)
    assert [(fault.run_id, fault.code, fault.text) for fault in faults] == [("run-1", "not_a_count", "many")] * 2
    assert {fault.url for fault in faults} == {item.url for item in faulty}
    assert reader.page("shop", before_number=faults[0].number, limit=9)[0].number < faults[0].number
    assert reader.page("other", limit=9) == []
    assert [fault.field for fault in reader.page("shop", code="unreadable_json_ld", limit=9)] == ["page"]


def test_texts_that_the_cleaning_cannot_read_are_faults(engine: Engine, scraped: Any) -> None:
    entries = scraped.entries(scraped.started(), scraped.item(1, price="Set of 3 volumes, from 5 to 9 EUR or more"))
    ItemPipeline(engine).ingest(entries)
    ItemPipeline(engine).ingest(entries)
    [fault] = FieldFaultReader(engine).page("shop", limit=9)
    assert (fault.run_id, fault.field, fault.text) == ("run-1", "price", "Set of 3 volumes, from 5 to 9 EUR or more")
    assert fault.url == "http://shop.example/catalogue/upc-1/index.html"
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.faults, run.counts.added, run.counts.quarantined) == (1, 1, 0)


def test_quarantined_pages_can_be_replayed(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    [entry] = scraped.entries(pages_message(1, PageOutcome.BOOK))
    pipeline.quarantine(entry, "DataError")
    assert sum(Replay(engine).replay_all().verdicts.values()) == 1
    assert len(RunPageReader(engine).page("run-1", outcome=None, after_number=0, limit=9)) == 1


def test_old_pages_and_faults_are_deleted_and_their_counts_stay(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    end = end_of(scraped, scraped_items=0, pages=5)
    pipeline.ingest(scraped.entries(scraped.started(), pages_message(1, *OUTCOMES), end))
    pipeline.ingest(scraped.entries(pages_message(1, PageOutcome.BOOK, run="running")))
    assert delete_old_pages(engine, before=utc_now() - timedelta(days=30)) == 0
    assert delete_old_pages(engine, before=utc_now() + timedelta(days=1)) == 5
    reader = RunPageReader(engine)
    assert reader.page("run-1", outcome=None, after_number=0, limit=9) == []
    assert len(reader.page("running", outcome=None, after_number=0, limit=9)) == 1
    assert FieldFaultReader(engine).page("shop", limit=9) == []
    run = RunStore(engine).get("run-1")
    assert run is not None
    assert (run.page_counts.unreadable, run.faults) == (1, 1)


def test_a_held_run_has_examples(engine: Engine, scraped: Any) -> None:
    pipeline = ItemPipeline(engine)
    pipeline.ingest(scraped.crawl("run-0", range(1, 41)))
    pipeline.ingest(scraped.crawl("run-1", range(1, 40), minute=10))
    changed = [scraped.item(number, run="run-2", minute=21, price="£99.00") for number in range(1, 31)]
    added = scraped.item(31, run="run-2", minute=21, key="upc-new", title="New")
    start = scraped.started("run-2", minute=20, items=1)
    end = scraped.finished("run-2", scraped=31, minute=24)
    pipeline.ingest(scraped.entries(start, *changed, added, end))
    run = RunStore(engine).get("run-2")
    assert run is not None
    assert run.state is RunState.HELD
    examples = RunStore(engine).get_hold_examples("run-2")
    assert [(example.key, example.title) for example in examples.adds] == [("upc-new", "New")]
    assert len(examples.changes) == 10
    change = examples.changes[0]
    assert change.fields == ("price",)
    assert (change.before, change.after) == ({"price": "10.00 GBP"}, {"price": "99.00 GBP"})
    assert [example.key for example in examples.removes] == ["upc-40"]
    assert RunStore(engine).get_hold_examples("run-0").changes == ()

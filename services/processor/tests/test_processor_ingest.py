"""Ingest of batches: verdicts, changes, observations and counts."""

from collections import Counter
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from bookwheel_contracts import BookContent, ChangeKind, CrawlRun, RunState, Verdict
from bookwheel_processor.ingest.batch import IngestResult
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_stores.records import BookReader, ChangeFeed, FeedReader, RunStore
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.records.tables import change
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.record_fixtures import rejecting_inserts
from bookwheel_testing.sample_books import state_of
from sqlalchemy import Engine, select
from sqlalchemy.exc import OperationalError


def run_of(engine: Engine, run_id: str = "run-1") -> CrawlRun:
    run = RunStore(engine).get(run_id)
    assert run is not None
    return run


def verdict_counts(result: IngestResult) -> dict[Verdict, int]:
    return dict(sum(result.verdicts.values(), start=Counter[Verdict]()))


def test_a_crawl_becomes_books_and_its_counts_add_up(engine: Engine, scraped: Any) -> None:
    result = ItemPipeline(engine).ingest(
        scraped.entries(
            scraped.started(),
            scraped.item(1, price="£51.77", availability="In stock (19 available)", rating="Three"),
            scraped.item(2, price=None, availability="Out of stock"),
            scraped.item(3, title=None),
            scraped.finished(scraped=3),
        )
    )
    assert verdict_counts(result) == {Verdict.ADDED: 2, Verdict.QUARANTINED: 1}
    run = run_of(engine)
    assert (run.state, run.counts.scraped, run.pages) == (RunState.COMPLETE, 3, 3)
    book = BookReader(engine).get("shop:upc-1")
    assert book is not None
    assert (book.title, str(book.price.amount if book.price else ""), book.stock, book.rating) == (
        "Book 1",
        "51.77",
        19,
        3,
    )
    assert book.revision == 1
    assert [offer.source_key for offer in book.offers] == ["upc-1"]
    assert [(entry.change.kind, entry.change.run_id) for entry in FeedReader(engine).read(after=0, limit=9)] == [
        (ChangeKind.ADDED, "run-1")
    ] * 2


def test_crawling_an_unchanged_shop_again_changes_nothing_but_last_seen(engine: Engine, scraped: Any) -> None:
    reader = BookReader(engine)
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(*(scraped.item(n) for n in range(1, 6))))
    before, head = reader.get("shop:upc-1"), ChangeFeed(engine).head()
    result = ingest.ingest(scraped.entries(*(scraped.item(n, run="run-2", minute=60) for n in range(1, 6))))
    assert verdict_counts(result) == {Verdict.UNCHANGED: 5}
    assert result.last_change == 0
    after = reader.get("shop:upc-1")
    assert before is not None
    assert after is not None
    assert after.last_seen - before.last_seen == timedelta(minutes=60)
    assert (after.revision, after.last_changed, ChangeFeed(engine).head()) == (1, before.last_changed, head)
    assert len(reader.list_observations("shop:upc-1", limit=9)) == 1


def test_a_changed_price_adds_a_change_and_an_observation(engine: Engine, scraped: Any) -> None:
    reader = BookReader(engine)
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.item(1, price="£10.00")))
    result = ingest.ingest(scraped.entries(scraped.item(1, run="run-2", minute=5, price="£9.50")))
    assert verdict_counts(result) == {Verdict.MODIFIED: 1}
    change = reader.list_changes("shop:upc-1", limit=1)[0]
    assert (change.kind, change.fields, change.revision) == (ChangeKind.MODIFIED, ("offers", "price"), 2)
    prices = [
        str(observation.price.amount)
        for observation in reader.list_observations("shop:upc-1", limit=9)
        if observation.price
    ]
    assert prices == ["9.50", "10.00"]


def test_a_changed_description_adds_no_observation(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.item(1, description="old")))
    ingest.ingest(scraped.entries(scraped.item(1, run="run-2", minute=5, description="new")))
    assert BookReader(engine).list_changes("shop:upc-1", limit=1)[0].fields == ("description",)
    assert len(BookReader(engine).list_observations("shop:upc-1", limit=9)) == 1


def test_redelivered_items_change_nothing(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    entries = scraped.entries(
        scraped.started(), scraped.item(1), scraped.item(2, title=None), scraped.finished(scraped=2)
    )
    ingest.ingest(entries)
    before = run_of(engine)
    again = ingest.ingest([StreamEntry(entry.id, entry.body, 2) for entry in entries])
    assert (verdict_counts(again), again.redelivered) == ({}, 2)
    assert run_of(engine) == before
    assert QuarantineStore(engine).count() == 1
    republished = scraped.entries(scraped.item(1), scraped.item(2, title=None))  # with new entry ids
    assert ingest.ingest(republished + republished).redelivered == 4
    assert run_of(engine) == before
    assert QuarantineStore(engine).count() == 1


def test_an_offer_twice_in_a_run_is_a_duplicate(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    items = [
        scraped.item(1),
        scraped.item(2, key="upc-1", title="Book 1"),
        scraped.item(3, key="upc-1", title="Book 1"),
    ]
    assert verdict_counts(ingest.ingest(scraped.entries(*items[:2]))) == {Verdict.ADDED: 1, Verdict.DUPLICATE: 1}
    assert verdict_counts(ingest.ingest(scraped.entries(items[2]))) == {Verdict.DUPLICATE: 1}


def test_an_offer_with_new_content_in_the_same_run_is_modified(engine: Engine, scraped: Any) -> None:
    items = [scraped.item(1, price="£1"), scraped.item(2, key="upc-1", title="Book 1", price="£2", minute=1)]
    assert verdict_counts(ItemPipeline(engine).ingest(scraped.entries(*items))) == {
        Verdict.ADDED: 1,
        Verdict.MODIFIED: 1,
    }
    assert len(BookReader(engine).list_observations("shop:upc-1", limit=9)) == 2


def test_a_late_item_does_not_undo_a_newer_one(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.item(1, run="run-2", minute=10, price="£2")))
    late = ingest.ingest(scraped.entries(scraped.item(1, run="run-1", minute=5, price="£1")))
    assert verdict_counts(late) == {Verdict.DUPLICATE: 1}
    book = BookReader(engine).get("shop:upc-1")
    assert book is not None
    assert book.price is not None
    assert str(book.price.amount) == "2.00"


def test_one_isbn_in_two_shops_is_one_book_with_two_offers(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(
        scraped.entries(scraped.item(1, isbn="0306406152", price="£8", availability="In stock (1 available)"))
    )
    other = scraped.item(
        1,
        run="run-2",
        source="rival",
        key="r-1",
        isbn="9780306406157",
        price="£7",
        availability="In stock (2 available)",
    )
    assert verdict_counts(ingest.ingest(scraped.entries(other))) == {Verdict.ADDED: 1}
    book = BookReader(engine).get("isbn:9780306406157")
    assert book is not None
    assert [offer.source for offer in book.offers] == ["rival", "shop"]
    assert (str(book.price.amount if book.price else ""), book.stock, book.revision) == ("7.00", 3, 2)
    assert BookReader(engine).count() == 1


def test_an_offer_that_gets_an_isbn_moves_and_its_old_book_is_removed(engine: Engine, scraped: Any) -> None:
    reader = BookReader(engine)
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.item(1)))
    result = ingest.ingest(scraped.entries(scraped.item(1, run="run-2", minute=1, isbn="0306406152")))
    assert verdict_counts(result) == {Verdict.MODIFIED: 1}
    assert reader.get("shop:upc-1") is None
    assert reader.list_changes("shop:upc-1", limit=1)[0].kind is ChangeKind.REMOVED
    assert reader.get("isbn:9780306406157") is not None
    assert len(reader.list_observations("isbn:9780306406157", limit=9)) == 1, "its observations move to the new book"
    back = ingest.ingest(scraped.entries(scraped.item(1, run="run-3", minute=2)))
    assert verdict_counts(back) == {Verdict.MODIFIED: 1}
    restored = reader.get("shop:upc-1")
    assert restored is not None
    assert reader.list_changes("shop:upc-1", limit=1)[0].kind is ChangeKind.RESTORED
    assert restored.revision == 3
    assert reader.count() == 1


def test_each_change_has_the_book_at_that_revision(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    details = {"description": "A «long» one", "authors": ["Ann", "Bo"], "rating": "4,5", "rating_count": "7"}
    ingest.ingest(scraped.entries(scraped.item(1, **details), scraped.item(2, price=None, availability=None)))
    ingest.ingest(scraped.entries(scraped.item(1, run="run-2", minute=1, price="£7.5", **details)))
    rival = scraped.item(1, run="run-3", minute=2, source="rival", key="r", isbn="0306406152", price="€5")
    ingest.ingest(scraped.entries(rival, scraped.item(2, run="run-3", minute=2, isbn="0306406152")))
    contents = _contents(engine)
    prices = {
        revision: content.price and content.price.amount
        for (book_id, revision), content in contents.items()
        if book_id == "shop:upc-1"
    }
    assert prices == {1: Decimal("10.00"), 2: Decimal("7.50")}
    removed = contents["shop:upc-2", 2]
    assert [offer.source for offer in removed.offers] == ["shop"], "a removed book has its last content"
    reader = BookReader(engine)
    for book in reader.page(after_number=0, limit=9):
        assert state_of(book).content == contents[book.id, book.revision].model_dump_json().encode()
    assert [offer.source for offer in contents["isbn:9780306406157", 1].offers] == ["rival", "shop"]


def _contents(engine: Engine) -> dict[tuple[str, int], BookContent]:
    with engine.connect() as connection:
        books = [BookContent.model_validate_json(content) for content in connection.scalars(select(change.c.content))]
    return {(content.id, content.revision): content for content in books}


def test_the_end_of_a_run_may_arrive_before_its_items(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.finished(scraped=2)))
    assert run_of(engine).state is RunState.RUNNING
    assert run_of(engine).counts.scraped == 2
    ingest.ingest(scraped.entries(scraped.item(2)))
    assert run_of(engine).state is RunState.RUNNING
    ingest.ingest(scraped.entries(scraped.item(1), scraped.started()))
    assert run_of(engine).state is RunState.COMPLETE


def test_a_run_that_resumes_after_its_end_finishes_again(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    ingest.ingest(scraped.entries(scraped.started(), scraped.item(1), scraped.finished(scraped=1, minute=1)))
    ingest.ingest(scraped.entries(scraped.started(minute=2)))
    assert run_of(engine).state is RunState.RUNNING
    ingest.ingest(scraped.entries(scraped.item(2), scraped.finished(scraped=2, minute=3)))
    ingest.ingest(scraped.entries(scraped.finished(scraped=1, minute=1)))
    assert (run_of(engine).state, run_of(engine).counts.scraped) == (RunState.COMPLETE, 2)


def test_a_run_whose_clock_went_back_finishes(engine: Engine, scraped: Any) -> None:
    ingest = ItemPipeline(engine)
    end = scraped.finished(scraped=1, minute=-60)
    ingest.ingest(scraped.entries(scraped.started(), scraped.item(1, minute=-60), end))
    ingest.ingest(scraped.entries(scraped.started(), end))  # a redelivery
    assert (run_of(engine).state, run_of(engine).counts.scraped) == (RunState.COMPLETE, 1)


def test_a_run_is_searchable_once_the_index_has_its_last_change(engine: Engine, scraped: Any) -> None:
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1), scraped.finished(scraped=1)))
    assert not run_of(engine).searchable
    ChangeFeed(engine).advance({"search": ChangeFeed(engine).head()})
    assert run_of(engine).searchable


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe\x00",
        b"null",
        b"[1, 2]",
        b'{"kind": "letter"}',
        b'{"kind": "item", "run_id": "' + b"x" * 100_000,
        b'{"kind":"item","title":"\\ud800"}',
        b"[" * 100_000,
        b'{"kind":"run_started","run_id":"\\u0000","source":"s","start_url":"","started_at":0,"traceparent":""}',
    ],
)
def test_unreadable_entries_are_quarantined_without_affecting_others(engine: Engine, scraped: Any, body: bytes) -> None:
    entries = scraped.entries(body, scraped.item(1))
    ItemPipeline(engine).ingest(entries)
    ItemPipeline(engine).ingest(entries)
    assert BookReader(engine).count() == 1
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert entry.run_id is None
    assert entry.reasons[0].field == "entry"


def test_an_unreadable_item_with_a_run_id_counts_in_its_run(engine: Engine, scraped: Any) -> None:
    broken = scraped.item(2).model_dump_json().replace('"payload":{', '"payload":[{').encode()
    ItemPipeline(engine).ingest(scraped.entries(scraped.item(1), broken, scraped.finished(scraped=2)))
    run = run_of(engine)
    assert (run.state, run.counts.added, run.counts.quarantined) == (RunState.COMPLETE, 1, 1)


def test_a_payload_cannot_pose_as_another_run_s_item(engine: Engine, scraped: Any) -> None:
    forged = b'{"kind":"item","payload":{"run_id":"run-9","item_number":1,"source":"s"},"broken":true}'
    ItemPipeline(engine).ingest(scraped.entries(forged))
    assert RunStore(engine).get("run-9") is None


def test_poison_is_quarantined_unparsed_and_still_counts(engine: Engine, scraped: Any) -> None:
    [entry] = scraped.entries(scraped.item(1))
    ItemPipeline(engine).ingest([StreamEntry(entry.id, entry.body, 6)])
    [entry] = QuarantineStore(engine).list_open(limit=9)
    assert entry.reasons[0].code == "poison"
    assert run_of(engine).counts.quarantined == 1


def test_a_batch_that_the_database_rejects_changes_nothing(engine: Engine, scraped: Any) -> None:
    entries = scraped.entries(scraped.started(), scraped.item(1), scraped.item(2, title=None))
    with rejecting_inserts(engine, "change"), pytest.raises(OperationalError):
        ItemPipeline(engine).ingest(entries)
    assert RunStore(engine).get("run-1") is None
    assert QuarantineStore(engine).count() == 0
    assert verdict_counts(ItemPipeline(engine).ingest(entries)) == {Verdict.ADDED: 1, Verdict.QUARANTINED: 1}


def test_an_empty_batch_changes_nothing(engine: Engine) -> None:
    assert verdict_counts(ItemPipeline(engine).ingest([])) == {}


def test_one_batch_has_items_of_many_runs(engine: Engine, scraped: Any) -> None:
    items = [scraped.item(n, run=f"run-{n % 7}", source=f"shop-{n % 3}") for n in range(1, 3001)]
    assert verdict_counts(ItemPipeline(engine).ingest(scraped.entries(*items))) == {Verdict.ADDED: 3000}
    assert BookReader(engine).count() == 3000

"""Migrations of tables with data."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from bookwheel_contracts import BookContent, FetchedPage, FieldFault, HoldExamples, PageCounts, PageOutcome
from bookwheel_stores.records import (
    BookReader,
    ChangeFeed,
    NewerSchemaError,
    RunStore,
    connect_database,
    is_current,
    upgrade_database,
)
from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.database.schema import RECORDS
from bookwheel_stores.records.runs.approvals import RunApprovals
from bookwheel_stores.records.runs.field_faults import FieldFaultReader, FieldFaultWriter, PageFault
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.pages import RunPageReader, RunPageWriter
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import IntegrityError

SEEN = 1_770_000_000_000


def insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    parameters = ", ".join(f":{name}" for name in rows[0])
    connection.execute(text(f"INSERT INTO {table} ({', '.join(rows[0])}) VALUES ({parameters})"), rows)


Rows = dict[str, list[dict[str, Any]]]


def add_book(rows: Rows, number: int, *, revisions: int, offers: int) -> None:
    price_columns = {"price": 120_000, "currency": "GBP", "stock": 2, "in_stock": True}
    book = {
        "number": number,
        "book_id": f"shop:{number}",
        "title": f"Über “{number}”",
        "authors": '["Zoë"]',
        **price_columns,
    }
    removed_at = None if offers else SEEN + revisions
    book |= {"first_seen": SEEN, "last_changed": SEEN + revisions, "revision": revisions, "removed_at": removed_at}
    rows["book"].append(book)
    for index in range(offers):
        offer = {"source": f"shop-{9 - index}", "source_key": f"k-{number}", "book_number": number, "url": "http://x/"}
        offer |= {**price_columns, "content": "{}", "fingerprint": "", "first_seen": SEEN, "last_seen": SEEN}
        rows["offer"].append(offer | {"last_run": "run", "last_item": 1})
    for revision in range(1, revisions + 1):
        kind = "added" if revision == 1 else "modified" if offers or revision < revisions else "removed"
        change = {"book_number": number, "revision": revision, "kind": kind, "fields": "[]"}
        rows["change"].append(change | {"changed_at": SEEN + revision, "run_id": "run"})


@pytest.fixture
def old(records_url: str) -> Iterator[Engine]:
    """Tables of revision 0001 with 2,500 books. Some have several revisions or offers, and one is removed."""
    engine = connect_database(records_url)
    replace(RECORDS, head="0001").upgrade(engine)
    rows: Rows = {"book": [], "offer": [], "change": []}
    for number in range(1, 2501):
        add_book(rows, number, revisions=1 + number % 3, offers=0 if number == 7 else 1 + number % 2)
    with engine.begin() as connection:
        for table, table_rows in rows.items():
            insert(connection, table, table_rows)
    yield engine
    engine.dispose()


def test_the_latest_change_of_each_book_gets_its_content(old: Engine) -> None:
    assert not is_current(old)
    upgrade_database(old)
    assert is_current(old)
    with old.begin() as connection:
        filled, empty = connection.execute(
            text(
                "SELECT sum(CASE WHEN content IS NOT NULL AND change.revision = book.revision THEN 1 END),"
                " sum(CASE WHEN content IS NULL AND change.revision < book.revision THEN 1 END)"
                " FROM change JOIN book ON book.number = change.book_number"
            )
        ).one()
        changes = connection.scalar(text("SELECT count(*) FROM change"))
    assert (filled, empty) == (2500, changes - 2500)


def test_the_feed_of_an_upgraded_database_has_every_book(old: Engine) -> None:
    upgrade_database(old)
    feed = ChangeFeed(old)
    books = feed.changed_books(after=0, limit=100_000).books
    assert len(books) == 2500
    assert [book.number for book in books if book.removed] == [7]
    assert len(feed.list_books(after_number=0, limit=100_000)) == 2500
    [book] = [book for book in books if book.number == 5]
    content = BookContent.model_validate_json(book.content)
    assert (content.id, content.title, content.authors, content.revision) == ("shop:5", "Über “5”", ("Zoë",), 3)
    assert [(offer.source, str(offer.price.amount)) for offer in content.offers if offer.price] == [
        ("shop-8", "12.00"),
        ("shop-9", "12.00"),
    ]


def test_a_failed_upgrade_is_rolled_back(old: Engine) -> None:
    with old.begin() as connection:
        connection.execute(text("UPDATE book SET currency = 'no' WHERE number = 2000"))
    with pytest.raises(ValueError, match="currency"):
        upgrade_database(old)
    assert not is_current(old)
    assert replace(RECORDS, head="0001").get_error(old) is None, "the old version can continue"


def test_an_upgrade_waits_for_another_upgrade_without_a_time_limit(old: Engine) -> None:
    short_timeout = {"sqlite": "PRAGMA busy_timeout=200", "postgresql": "SET lock_timeout = '200ms'"}[old.dialect.name]

    @event.listens_for(old, "connect")
    def set_timeout(connection: Any, _record: Any) -> None:
        connection.execute(short_timeout)
        connection.commit()

    old.dispose()
    is_held = threading.Event()

    def migrate_slowly() -> None:
        with dialect_of(old).migration_transaction(old):
            is_held.set()
            time.sleep(1)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(migrate_slowly)
        assert is_held.wait(10)
        upgrade_database(old)
        other.result()
    assert is_current(old)
    with old.connect() as connection:
        timeout_query = {"sqlite": "PRAGMA busy_timeout", "postgresql": "SHOW lock_timeout"}[old.dialect.name]
        assert connection.exec_driver_sql(timeout_query).scalar() in {200, "200ms"}


def test_tables_of_a_newer_version_are_not_changed(records_url: str) -> None:
    engine = connect_database(records_url)
    upgrade_database(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE records_version SET version_num = '9999'"))
    with pytest.raises(NewerSchemaError, match=r"are at revision 9999, and this version .* restore a backup"):
        upgrade_database(engine)
    assert RECORDS.revision(engine) == "9999"
    engine.dispose()


def test_renamed_tables_keep_their_rows(records_url: str) -> None:
    engine = connect_database(records_url)
    replace(RECORDS, head="0002").upgrade(engine)
    rows: Rows = {"book": [], "offer": [], "change": []}
    add_book(rows, 1, revisions=2, offers=2)
    run = {"number": 1, "run_id": "run", "source": "shop", "state": "running", "touched_at": SEEN, "staged": 2}
    counts = ("pages", "errors", "added", "modified", "unchanged", "duplicate", "quarantined", "last_change")
    staged = {"run_number": 1, "source_key": "k-1", "entry_id": "raw/1-0", "body": "{}"}
    with engine.begin() as connection:
        for table, table_rows in rows.items():
            insert(connection, table, table_rows)
        insert(connection, "crawl_run", [run | dict.fromkeys(counts, 0)])
        insert(connection, "receipt", [{"run_number": 1, "item_number": number} for number in range(1, 1001)])
        insert(connection, "held_item", [staged | {"item_number": number} for number in (1001, 1002)])
    upgrade_database(engine)
    with engine.begin() as connection:
        ledger = RunLedger(connection)
        assert ledger.list_unprocessed(1, range(1, 1004)) == {1001, 1002, 1003}
        ledger.mark_processed(1, [1001])
        assert [item.item_number for item in RunApprovals(connection).list_staged(1, limit=9)] == [1001, 1002]
        RunApprovals(connection).unstage(1, [1001])
    with pytest.raises(IntegrityError), engine.begin() as connection:
        RunLedger(connection).mark_processed(1, [1001])
    book = BookReader(engine).get("shop:1")
    assert book is not None
    assert (book.title, len(book.offers)) == ("Über “1”", 2)
    engine.dispose()


def test_runs_of_an_earlier_version_end_without_pages(records_url: str) -> None:
    engine = connect_database(records_url)
    replace(RECORDS, head="0004").upgrade(engine)
    counts = ("pages", "errors", "added", "modified", "unchanged", "duplicate", "quarantined", "last_change")
    held = {"number": 1, "run_id": "held", "source": "shop", "state": "held", "touched_at": SEEN, "pages": 7}
    running = held | {"number": 2, "run_id": "running", "state": "running", "pages": 0}
    hold = '{"reasons": [], "known": 5, "modifies": 3, "removes": 0}'
    with engine.begin() as connection:
        for columns in (held, running):
            insert(connection, "crawl_run", [dict.fromkeys(counts, 0) | columns])
        connection.execute(text("UPDATE crawl_run SET hold = :hold WHERE run_id = 'held'"), {"hold": hold})
        connection.execute(text("UPDATE crawl_run SET finished_state = 'complete', scraped = 0 WHERE number = 2"))
    upgrade_database(engine)
    runs = RunStore(engine)
    run = runs.get("held")
    assert run is not None
    assert (run.pages, run.page_counts, run.faults) == (7, PageCounts(), 0)
    assert run.hold is not None
    assert runs.get_hold_examples("held") == HoldExamples()
    page = FetchedPage(url="http://shop.example/1", outcome=PageOutcome.UNREADABLE, reason="broken", position="line 1")
    fault = FieldFault(field="price", code="ambiguous", text="3 or 5")
    with engine.begin() as connection:
        assert RunApprovals(connection).list_due(None) == [2]
        assert RunPageWriter(connection).add(1, {1: page, 2: page}, now=SEEN) == [page, page]
        assert RunPageWriter(connection).add(1, {2: page, 3: page}, now=SEEN) == [page]
        FieldFaultWriter(connection).add(1, [PageFault(fault, page.url, SEEN)] * 2)
        FieldFaultWriter(connection).add(1, [PageFault(fault, page.url, SEEN)])
    run = runs.get("held")
    assert run is not None
    assert (run.page_counts.unreadable, run.faults) == (3, 3)
    assert [row.number for row in RunPageReader(engine).page("held", outcome=None, after_number=1, limit=9)] == [2, 3]
    [first, *_] = FieldFaultReader(engine).page("shop", run_id="held", limit=9)
    assert (first.field, first.code, first.text) == ("price", "ambiguous", "3 or 5")
    with engine.begin() as connection:
        assert RunPageWriter(connection).purge(before=SEEN) == 0
        RunApprovals(connection).update(1, state="complete")
        assert RunPageWriter(connection).purge(before=SEEN + 1) == 3
        assert FieldFaultWriter(connection).purge(before=SEEN + 1) == 3
    engine.dispose()

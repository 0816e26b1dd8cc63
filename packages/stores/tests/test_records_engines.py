"""SQLite and PostgreSQL behave the same: order, exactness, conflicts, connections and errors."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from bookwheel_contracts import BOOK_DETAILS
from bookwheel_stores.records import (
    DATABASE_ERRORS,
    BookReader,
    PredictionStore,
    RunStore,
    connect_database,
    in_transaction,
    is_current,
    read_connection,
    supports_concurrent_writers,
    upgrade_database,
    wait_for_database,
)
from bookwheel_stores.records.catalog.book_reader import ObservationCursor
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.database.schema import RECORDS
from bookwheel_stores.records.runs.quarantine import NewQuarantineEntry, QuarantineStore, QuarantineWriter
from bookwheel_stores.records.tables import book, crawl_run, projection
from bookwheel_stores.records.values import to_millis
from bookwheel_testing.engines import Postgres, running_postgres
from bookwheel_testing.sample_books import prediction
from bookwheel_testing.servers import free_port
from sqlalchemy import Connection, Engine, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

SEEN = datetime(2026, 1, 30, 12, 0, 0, 123_456, tzinfo=UTC)
OFFERED: dict[str, Any] = {"price": 99_999, "currency": "GBP", "stock": 3, "in_stock": True}
NAMES = ["B", "Z", "a", "e\u0301", "ab", "é", "zz", "ß", "\U0001f4d6", "_", "-a", " x"]


def add_books(engine: Engine, *keys: str, price: int = 99_999) -> dict[str, int]:
    seen = to_millis(SEEN)
    columns = {**dict.fromkeys(BOOK_DETAILS), "title": "T", "authors": "[]", **OFFERED, "price": price}
    columns |= {"first_seen": seen, "last_changed": seen, "revision": 1, "removed_at": None}
    with engine.begin() as connection:
        writer = CatalogWriter(connection)
        writer.lock()
        return writer.add_books([{"book_id": f"shop:{key}", **columns} for key in keys])


def add_offers(engine: Engine, book_number: int, *keys: str, source: str = "shop", price: int = 99_999) -> None:
    seen = to_millis(SEEN)
    row = {"source": source, "book_number": book_number, "url": "http://x/", **OFFERED, "price": price, "content": "{}"}
    row |= {"fingerprint": "", "first_seen": seen, "last_seen": seen, "last_run": "r", "last_item": 1}
    with engine.begin() as connection:
        writer = CatalogWriter(connection)
        numbers = writer.add_offers([row | {"source_key": key} for key in keys])
        offered = {**OFFERED, "price": price, "observed_at": seen}
        writer.add_observations([{"offer_number": number, **offered} for number in numbers.values()], superseding=())


@pytest.fixture(params=["sqlite", "postgresql", "PostgreSQL with an English collation"])
def any_order(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = connect_database(f"sqlite:///{tmp_path / 'bookwheel.sqlite'}")
        upgrade_database(engine)
        yield engine
        engine.dispose()
        return
    server: Postgres = request.getfixturevalue("postgres")
    options = "" if request.param == "postgresql" else "LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
    with server.database(template="template0", options=options) as url:
        engine = connect_database(url)
        upgrade_database(engine)
        yield engine
        engine.dispose()


def test_texts_are_ordered_and_compared_by_code_point(any_order: Engine) -> None:
    numbers = add_books(any_order, *NAMES)
    assert len(numbers) == len(NAMES)
    add_offers(any_order, numbers["shop:a"], *NAMES)
    stored_book = BookReader(any_order).get("shop:a")
    assert stored_book is not None
    assert [offer.source_key for offer in stored_book.offers] == sorted(NAMES)
    assert BookReader(any_order).get("shop:A") is None
    assert BookReader(any_order).get("shop:a ") is None
    with any_order.begin() as connection:
        locked = CatalogWriter(connection).lock_books([f"shop:{name}" for name in NAMES], [])
    assert list(locked) == sorted(locked)


def test_numbers_follow_the_order_of_the_keys(engine: Engine) -> None:
    numbers = add_books(engine, *NAMES)
    assert [key for key, _ in sorted(numbers.items(), key=lambda item: item[1])] == sorted(numbers)
    later = add_books(engine, "later")
    assert later["shop:later"] > max(numbers.values())


def test_amounts_are_exact_and_their_sum_can_exceed_64_bits(engine: Engine) -> None:
    largest = 10**14 - 1
    [number] = add_books(engine, "dear").values()
    add_offers(engine, number, "k", price=largest)
    stored_book = BookReader(engine).get("shop:dear")
    assert stored_book is not None
    assert {str(offer.price.amount) for offer in stored_book.offers if offer.price} == {"9999999999.9999"}
    with engine.begin() as connection:
        [offer] = CatalogWriter(connection).lock_offers([("shop", "k")]).values()
        seen = {**OFFERED, "price": largest, "offer_number": offer["number"], "observed_at": to_millis(SEEN)}
        CatalogWriter(connection).add_observations([seen] * 99_999, superseding=())
    assert largest * 100_000 > 2**63
    [point] = BookReader(engine).price_trend(book_numbers=None, interval="month", start=SEEN, end=SEEN)
    assert (point.count, str(point.max.amount), str(point.avg.amount)) == (
        100_000,
        "9999999999.9999",
        "9999999999.9999",
    )


def test_times_are_stored_in_milliseconds(engine: Engine) -> None:
    [number] = add_books(engine, "a").values()
    add_offers(engine, number, "k")
    [seen] = BookReader(engine).list_observations("shop:a", limit=9)
    assert seen.observed_at == SEEN.replace(microsecond=123_000)
    assert BookReader(engine).list_observations("shop:a", limit=9, before=seen.cursor) == []
    later = ObservationCursor(to_millis(SEEN) + 1, 0)
    assert BookReader(engine).list_observations("shop:a", limit=9, before=later) == [seen]


def test_observations_in_the_same_millisecond_are_paged(engine: Engine) -> None:
    [number] = add_books(engine, "a").values()
    add_offers(engine, number, "k", "l", "m")
    add_offers(engine, number, "k", source="rival")
    reader, cursor, seen = BookReader(engine), None, []
    while page := reader.list_observations("shop:a", limit=1, before=cursor):
        seen.append((page[0].source, page[0].source_key))
        cursor = page[0].cursor
    assert seen == [("rival", "k"), ("shop", "m"), ("shop", "l"), ("shop", "k")]


def test_a_nul_matches_no_row_and_raises_no_error(engine: Engine) -> None:
    add_books(engine, "a")
    assert BookReader(engine).get("shop:a\0") is None
    assert BookReader(engine).get_many(["\0", "shop:a"]).keys() == {"shop:a"}
    assert BookReader(engine).list_changes("\0", limit=1) == []
    assert RunStore(engine).get("\0") is None
    assert RunStore(engine).list_latest(source="\0", limit=1) == []
    record = prediction(rating=0.1 + 0.2, low=1e-9, subject="me\0")
    PredictionStore(engine).write([record])
    [stored] = PredictionStore(engine).recent(1)
    assert stored.subject.startswith("me")
    assert (stored.rating, stored.low) == (0.1 + 0.2, 1e-9), "floats are exact"


def test_any_quarantined_body_is_stored_once(engine: Engine) -> None:
    items = [
        NewQuarantineEntry(f"e-{index}", None, None, "http://x/\0", body, ())
        for index, body in enumerate((b"\0\xff", b"\xed\xa0\x80", "\\u0000 ü".encode()))
    ]
    for _ in range(2):
        with engine.begin() as connection:
            QuarantineWriter(connection).add([*items, items[0]], now=1)
    stored = QuarantineStore(engine).list_open(limit=9)
    assert [entry.body for entry in stored] == ["\\x00\\xff", "\\xed\\xa0\\x80", "\\u0000 ü"]
    with engine.begin() as connection:
        writer = QuarantineWriter(connection)
        assert [writer.mark_replayed(stored[0].number, now=2), writer.mark_replayed(stored[0].number, now=2)] == [
            True,
            False,
        ]


def test_a_rejected_value_is_an_error_and_writes_nothing(engine: Engine) -> None:
    with pytest.raises((DBAPIError, OverflowError)):
        add_books(engine, "a", "b", price=2**63)
    assert BookReader(engine).count() == 0
    add_books(engine, "a")
    with pytest.raises(IntegrityError):
        add_books(engine, "b", "a")
    assert BookReader(engine).count() == 1


def test_rows_are_updated_individually(engine: Engine) -> None:
    numbers = add_books(engine, *"abc")
    values = [('"quoted" \\ ü', 0, 0.1), ("%s %(x)s :y", None, None), ("{}[]", 2**40, 4.75)]
    rows = [
        {"number": number, "title": title, "stock": stock, "rating": rating, "in_stock": stock is not None}
        for number, (title, stock, rating) in zip(numbers.values(), values, strict=True)
    ]
    with engine.begin() as connection:
        CatalogWriter(connection).update_books(rows)
    with read_connection(engine) as connection:
        stored = connection.execute(select(*(book.c[name] for name in rows[0])).order_by(book.c.number)).mappings()
        assert [dict(row) for row in stored] == rows


def test_deadlocked_writers_are_repeated_and_succeed(postgres_url: str) -> None:
    engine = connect_database(postgres_url)
    upgrade_database(engine)
    with engine.begin() as connection:
        connection.execute(insert(projection), [{"name": name, "sequence": 0} for name in "ab"])
    both_hold_a_row = threading.Barrier(2)
    attempts: list[str] = []

    def crosswise(names: str) -> None:
        def work(connection: Connection) -> None:
            attempts.append(names)
            is_first = attempts.count(names) == 1
            for name in names:
                increment = {"sequence": projection.c.sequence + 1}
                connection.execute(update(projection).where(projection.c.name == name).values(increment))
                if is_first and name == names[0]:
                    both_hold_a_row.wait(10)

        in_transaction(engine, work)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(crosswise, ["ab", "ba"]))
    # A repeated transaction may lock its row before the other transaction continues. Then they deadlock again.
    assert 3 <= len(attempts) < 10
    with read_connection(engine) as connection:
        assert set(connection.scalars(select(projection.c.sequence))) == {2}
    engine.dispose()


def test_a_permanent_conflict_is_raised_after_the_last_attempt(engine: Engine) -> None:
    row = {"run_id": "r", "source": "s", "state": "running", "touched_at": 1}
    with engine.begin() as connection:
        connection.execute(insert(crawl_run), row)
    attempts: list[int] = []

    def work(connection: Connection) -> None:
        attempts.append(1)
        connection.execute(insert(crawl_run), row)

    with pytest.raises(IntegrityError):
        in_transaction(engine, work)
    assert len(attempts) == (10 if supports_concurrent_writers(engine) else 1)


def test_a_reader_of_postgresql_cannot_write(postgres_url: str) -> None:
    engine = connect_database(postgres_url)
    upgrade_database(engine)
    with read_connection(engine) as connection, pytest.raises(DBAPIError, match="read-only transaction"):
        connection.execute(insert(projection), {"name": "a", "sequence": 1})
    with engine.begin() as connection:  # the same connection of the pool
        connection.execute(insert(projection), {"name": "a", "sequence": 1})
        assert connection.scalar(text("SHOW transaction_isolation")) == "read committed"
    engine.dispose()


def test_connections_that_the_server_closed_are_replaced(postgres_url: str) -> None:
    engine, other = connect_database(postgres_url), connect_database(postgres_url)
    upgrade_database(engine)
    is_other_connection = "datname = current_database() AND pid <> pg_backend_pid()"
    end = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {is_other_connection}"
    with other.connect() as connection:
        connection.execute(text(end))
    assert is_current(engine)
    with engine.connect() as connection:
        with other.connect() as ending:
            ending.execute(text(end))
        with pytest.raises(OperationalError):
            CatalogWriter(connection).add_changes([{"book_number": 1}])
    assert is_current(engine)
    engine.dispose()
    other.dispose()


def test_the_wait_for_a_server_succeeds_late_and_ends_at_a_wrong_password() -> None:
    port = free_port()
    engine = connect_database(f"postgresql://bookwheel:for-tests@127.0.0.1:{port}/postgres")
    with pytest.raises(OperationalError):
        wait_for_database(engine, seconds=0.3)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(upgrade_database, engine)
        with running_postgres(port=port):
            waiting.result(60)
            assert is_current(engine)
            wrong = connect_database(f"postgresql://bookwheel:wrong@127.0.0.1:{port}/postgres")
            with pytest.raises(OperationalError, match="password"):
                wait_for_database(wrong, seconds=600)
            engine.dispose()


def test_the_url_sets_the_pool_and_the_session(postgres_url: str) -> None:
    engine = connect_database(
        f"{postgres_url}?pool_size=1&max_overflow=0&pool_timeout=1&application_name=me&options=-c%20lock_timeout%3D7s"
    )
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW application_name")) == "me"
        assert connection.scalar(text("SHOW lock_timeout")) == "7s"
        assert connection.scalar(text("SHOW statement_timeout")) == "5min"
        with pytest.raises(Exception, match="QueuePool limit"):
            engine.connect()
    engine.dispose()
    for url in ("mysql://127.0.0.1/x", "oracle://127.0.0.1/x"):
        with pytest.raises(ValueError, match="sqlite or postgresql"):
            connect_database(url)


def test_several_processes_can_upgrade_an_old_database_concurrently(records_url: str) -> None:
    engines = [connect_database(records_url) for _ in range(4)]
    replace(RECORDS, head="0001").upgrade(engines[0])
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade_database, engines))
    assert is_current(engines[0])
    for engine in engines:
        engine.dispose()


def test_an_unavailable_database_raises_one_of_the_database_errors(records_url: str) -> None:
    engine = connect_database(records_url)
    with pytest.raises(DATABASE_ERRORS):  # not migrated
        BookReader(engine).count()
    engine.dispose()
    unreachable = connect_database(f"postgresql://127.0.0.1:{free_port()}/x?connect_timeout=2")
    with pytest.raises(DATABASE_ERRORS):
        BookReader(unreachable).count()
    if supports_concurrent_writers(engine):
        crowded = connect_database(f"{records_url}?pool_size=1&max_overflow=0&pool_timeout=0")
        with crowded.connect(), pytest.raises(DATABASE_ERRORS):
            BookReader(crowded).count()
        crowded.dispose()

"""The feed has the order of commits, with any number of concurrent writers."""

import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from bookwheel_stores.records import FeedReader, connect_database, upgrade_database
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.tables import book, change
from bookwheel_testing.servers import wait_until
from sqlalchemy import Engine, text

CHANGE: dict[str, Any] = {"book_number": 1, "revision": 1, "kind": "added", "fields": "[]", "changed_at": 1}
CHANGE |= {"run_id": "r", "content": "{}"}


def add_book(engine: Engine) -> None:
    row = {"number": 1, "book_id": "shop:1", "title": "T", "authors": "[]", "in_stock": True}
    with engine.begin() as connection:
        dialect_of(connection).insert_rows(
            connection, book, [row | {"first_seen": 1, "last_changed": 1, "revision": 1}]
        )


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    engine = connect_database(postgres_url)
    upgrade_database(engine)
    add_book(engine)
    yield engine
    engine.dispose()


def sequences(feed: FeedReader, after: int) -> list[int]:
    return [entry.sequence for entry in feed.read(after=after, limit=1000)]


def is_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
        )


def test_without_the_lock_a_reader_would_skip_a_slower_transaction(postgresql: Engine) -> None:
    """Shows the error that the lock prevents."""
    feed = FeedReader(postgresql)
    with postgresql.begin() as slow:
        dialect_of(slow).insert_rows(slow, change, [CHANGE])
        with postgresql.begin() as fast:
            dialect_of(fast).insert_rows(fast, change, [CHANGE | {"revision": 2}])
        [cursor] = sequences(feed, after=0)
    [skipped] = set(sequences(feed, after=0)) - {cursor}
    assert skipped < cursor
    assert sequences(feed, after=cursor) == [], "the reader never reads it"


def test_a_transaction_waits_and_adds_its_changes_after_an_earlier_one(postgresql: Engine) -> None:
    feed = FeedReader(postgresql)
    seen: list[int] = []

    def read_new() -> None:
        seen.extend(sequences(feed, after=seen[-1] if seen else 0))

    def add_fast() -> int:
        with postgresql.begin() as connection:
            return CatalogWriter(connection).add_changes([CHANGE | {"revision": 2}])

    with ThreadPoolExecutor(1) as pool:
        with postgresql.begin() as slow:
            first = CatalogWriter(slow).add_changes([CHANGE])
            fast = pool.submit(add_fast)
            wait_until(lambda: is_waiting(postgresql), seconds=10, what="the second writer's wait")
            read_new()
            assert seen == []
            assert not fast.done()
        second = fast.result(10)
    read_new()
    assert seen == [first, second]


def test_a_rolled_back_transaction_releases_the_lock_and_leaves_a_gap(postgresql: Engine) -> None:
    with postgresql.connect() as connection:
        rolled_back = CatalogWriter(connection).add_changes([CHANGE, CHANGE])
        connection.rollback()
    with postgresql.begin() as connection:
        committed = CatalogWriter(connection).add_changes([CHANGE])
    assert sequences(FeedReader(postgresql), after=0) == [committed]
    assert committed > rolled_back


def test_a_reader_with_concurrent_writers_reads_every_change_once_and_in_order(engine: Engine) -> None:
    add_book(engine)
    feed = FeedReader(engine)
    writers, transactions = 4, 25
    done = threading.Event()
    seen: list[int] = []

    def write(writer: int) -> None:
        rng = random.Random(writer)
        for _ in range(transactions):
            with engine.begin() as connection:
                CatalogWriter(connection).add_changes([CHANGE] * rng.randint(1, 3))
                time.sleep(rng.random() * 0.004)

    def follow() -> None:
        is_last = False
        while not is_last:
            is_last = done.is_set()
            seen.extend(sequences(feed, after=seen[-1] if seen else 0))

    with ThreadPoolExecutor(writers + 1) as pool:
        following = pool.submit(follow)
        list(pool.map(write, range(writers)))
        done.set()
        following.result(30)
    everything: list[int] = []
    while page := sequences(feed, after=everything[-1] if everything else 0):
        everything += page
    assert seen == everything
    assert len(everything) >= writers * transactions

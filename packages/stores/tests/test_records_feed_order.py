"""The feed's order is the order of commits, however many write to it and however slowly one of them commits."""

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
    return [found.sequence for found in feed.read(after=after, limit=1000)]


def is_waiting(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.scalar(text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))
        )


def test_without_the_lock_a_reader_would_step_over_a_slower_transaction(postgresql: Engine) -> None:
    """The hazard itself: what the other tests are there for."""
    feed = FeedReader(postgresql)
    with postgresql.begin() as slow:
        dialect_of(slow).insert_rows(slow, change, [CHANGE])
        with postgresql.begin() as fast:
            dialect_of(fast).insert_rows(fast, change, [CHANGE | {"revision": 2}])
        [cursor] = sequences(feed, after=0)
    [missed] = set(sequences(feed, after=0)) - {cursor}
    assert missed < cursor
    assert sequences(feed, after=cursor) == [], "and it would never look for it"


def test_a_transaction_adds_its_changes_after_all_of_an_earlier_one(postgresql: Engine) -> None:
    feed = FeedReader(postgresql)
    seen: list[int] = []

    def look() -> None:
        seen.extend(sequences(feed, after=seen[-1] if seen else 0))

    def add_fast() -> int:
        with postgresql.begin() as connection:
            return CatalogWriter(connection).add_changes([CHANGE | {"revision": 2}])

    with ThreadPoolExecutor(1) as pool:
        with postgresql.begin() as slow:
            first = CatalogWriter(slow).add_changes([CHANGE])
            fast = pool.submit(add_fast)
            wait_until(lambda: is_waiting(postgresql), seconds=10, what="the second writer's wait")
            look()
            assert seen == []
            assert not fast.done()
        second = fast.result(10)
    look()
    assert seen == [first, second]


def test_a_transaction_that_is_given_up_lets_the_next_one_in_and_leaves_a_gap(postgresql: Engine) -> None:
    with postgresql.connect() as connection:
        given_up = CatalogWriter(connection).add_changes([CHANGE, CHANGE])
        connection.rollback()
    with postgresql.begin() as connection:
        kept = CatalogWriter(connection).add_changes([CHANGE])
    assert sequences(FeedReader(postgresql), after=0) == [kept]
    assert kept > given_up


def test_a_reader_beside_many_writers_sees_every_change_once_and_in_order(engine: Engine) -> None:
    add_book(engine)
    feed = FeedReader(engine)
    writers, each = 4, 25
    done = threading.Event()
    seen: list[int] = []

    def write(writer: int) -> None:
        chance = random.Random(writer)
        for _ in range(each):
            with engine.begin() as connection:
                CatalogWriter(connection).add_changes([CHANGE] * chance.randint(1, 3))
                time.sleep(chance.random() * 0.004)

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
    while found := sequences(feed, after=everything[-1] if everything else 0):
        everything += found
    assert seen == everything
    assert len(everything) >= writers * each

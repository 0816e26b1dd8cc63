"""Entries in any order lead to the same catalog in the records, the index and the lake.

The books of two shops are added, changed and deleted. Concurrent crawls of the shops can have several attempts and see
a page repeatedly. Their entries are delivered in any order, in parts and repeatedly, with projections, rebuilds,
replays, releases and refreshes of the lake between them. In the end the catalog must equal that of the same entries
delivered one by one. `BOOKWHEEL_HISTORIES` is the number of histories.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from shutil import rmtree
from typing import Any
from uuid import uuid4

import pytest
from bookwheel_contracts import Book, RawItem, RunFinished, RunStarted, RunState
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.lake.silver_projection import SilverProjection
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.replay import Replay
from bookwheel_processor.runs.finalizer import RunFinalizer
from bookwheel_processor.search_index.projection import Projection
from bookwheel_stores.cache import Generation
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.silver import Silver
from bookwheel_stores.records import BookReader, ChangeFeed, RejectedBooks, RunStore
from bookwheel_stores.records.feed.snapshots import SnapshotReader
from bookwheel_stores.records.tables import observation, offer
from bookwheel_stores.search import open_index_build, open_index_reader, open_index_writer
from bookwheel_stores.search.queries import SearchCriteria, SearchQuery, Sort
from bookwheel_stores.streams import StreamEntry, connect_redis
from bookwheel_testing.consistency import catalog_contents
from bookwheel_testing.engines import S3Store
from bookwheel_testing.lakes import lake_rows
from bookwheel_testing.search import elasticsearch_url
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from orjson import loads
from sqlalchemy import Engine, select

HISTORIES = {"embedded": 40, "cluster": 6}
ISBN = "0306406152"
NOW = datetime(2026, 2, 1, tzinfo=UTC)
SOURCES = st.sampled_from(["shop", "rival"])
KEYS = "abcdef"
PRICES = ["£1.00", "£1.00", "£2.00", "$4", None, "nonsense"]
# Small sources are never held; with `floor=2`, a run that changes more than a fifth of a source is held.
POLICIES = [HoldPolicy(), HoldPolicy(floor=2), HoldPolicy(floor=2, grace=1), HoldPolicy(grace=3)]
ENDS = [RunState.COMPLETE, RunState.COMPLETE, RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED]


class StoreFactory:
    """Creates new stores for each history: records, an index, a lake."""

    def __init__(
        self, new_engine: Callable[[], Engine], folder: Path, redis_url: str, cluster: tuple[str, S3Store] | None
    ) -> None:
        self._new_engine = new_engine
        self._folder = folder
        self._cluster = cluster
        self.redis = connect_redis(redis_url)

    def create(self, stack: ExitStack, policy: HoldPolicy) -> "Stores":
        folder = self._folder / uuid4().hex
        stack.callback(rmtree, folder, ignore_errors=True)
        if self._cluster is None:
            search_url, lake = f"tantivy://{folder}/index", LakeAddress(f"file://{folder}/lake")
        else:
            elasticsearch, s3 = self._cluster
            search_url = stack.enter_context(elasticsearch_url(elasticsearch))
            lake = LakeAddress(
                f"s3://{s3.bucket}/{folder.name}",
                endpoint=s3.endpoint,
                access_key=s3.access_key,
                secret_key=s3.secret_key,
            )
        return Stores(self.records(policy), search_url, Lake(lake), self.redis)

    def records(self, policy: HoldPolicy) -> "Records":
        return Records(self._new_engine(), policy)


class Records:
    """The records of one history, and what writes them."""

    def __init__(self, engine: Engine, policy: HoldPolicy) -> None:
        self.engine = engine
        self.ingest = ItemPipeline(engine, policy)
        self.replay = Replay(engine, policy)
        self._finalizer = RunFinalizer(engine, policy)

    def release(self) -> bool:
        """Release the held runs in their order. Return False if there are none."""
        held = RunStore(self.engine).list_latest(state=RunState.HELD, limit=100)
        for run in reversed(held):
            assert RunStore(self.engine).decide(run.id, release=True, by="ann", now=NOW)
            self._finalizer.advance()
        return bool(held)

    def release_all(self) -> None:
        while self.release():
            pass
        assert all(run.state is not RunState.RUNNING for run in RunStore(self.engine).list_latest(limit=100))

    def books(self) -> dict[str, Book]:
        return {book.id: book for book in BookReader(self.engine).page(after_number=0, limit=100)}


class Stores:
    """The stores of one history."""

    def __init__(self, records: Records, search_url: str, lake: Lake, redis: Any) -> None:
        feed = ChangeFeed(records.engine)
        self.records = records
        self.search_url = search_url
        self.projection = Projection(feed, RejectedBooks(records.engine), Generation(redis), 3)
        self.silver = SilverProjection(feed, SnapshotReader(records.engine), Silver(lake))

    def project(self) -> None:
        with open_index_writer(self.search_url) as index:
            self.projection.catch_up(index)

    def rebuild(self) -> None:
        with open_index_build(self.search_url) as build:
            self.projection.rebuild(build)

    def refresh_lake(self) -> None:
        self.silver.append_observations()
        self.silver.refresh_books()
        self.silver.tables.observations.compact(today=date.max, seconds=60)

    def check_copies(self) -> None:
        """Check that the index and the lake have the books of the records."""
        books = self.records.books()
        reader = open_index_reader(self.search_url)
        reader.reload()
        page = reader.search(SearchQuery(SearchCriteria(), Sort.NEWEST, 100))
        indexed = {item["id"]: item for item in map(loads, page.items)}
        assert page.total == len(page.items) == len(books)
        recorded = {book_id: book.model_dump(mode="json") for book_id, book in books.items()}
        assert indexed == {
            book_id: _select_fields(indexed.get(book_id, {}), book) for book_id, book in recorded.items()
        }
        rows = [row for table in self.silver.tables.snapshot().books() for row in table.to_pylist()]
        assert sorted(map(_row, rows)) == sorted(_row(_lake_row(book)) for book in books.values())
        assert self._observed_in_lake() == self._observed()

    def _observed(self) -> set[tuple[Any, ...]]:
        """Return the observations without their books. In the lake, an observation keeps the book of that time, and an
        offer that moves to another book has a new observation."""
        columns = (offer.c.url, offer.c.source, observation.c.price, observation.c.stock)
        query = select(*columns).select_from(observation.join(offer))
        with self.records.engine.connect() as connection:
            return {tuple(map(str, row)) for row in connection.execute(query)}

    def _observed_in_lake(self) -> set[tuple[Any, ...]]:
        rows = lake_rows(self.silver.tables.lake, "silver/observations")
        keys = [(row["sequence"], row["source"], row["url"]) for row in rows]
        assert len(set(keys)) == len(keys), "each observation once"
        prices = [row["price_amount"] and int(row["price_amount"] * 10_000) for row in rows]
        return {
            (row["url"], row["source"], str(price), str(row["stock"])) for row, price in zip(rows, prices, strict=True)
        }


def _select_fields(item: dict[str, Any], book: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of the book that the index's item has."""
    fields = {name: book[name] for name in item if name in book}
    offer_fields = ("source", "url", "price", "stock", "in_stock", "first_seen")
    return fields | {"offers": [{name: offer[name] for name in offer_fields} for offer in book["offers"]]}


def _lake_row(book: Book) -> dict[str, Any]:
    row = {name: getattr(book, name) for name in ("title", "isbn13", "stock", "in_stock", "first_seen", "last_changed")}
    price = {"price_amount": book.price and book.price.amount, "price_currency": book.price and book.price.currency}
    return {
        "book_id": book.id,
        "revision": book.revision,
        "sources": [book_offer.source for book_offer in book.offers],
        **row,
        **price,
    }


def _row(row: dict[str, Any]) -> list[str]:
    return [f"{name}: {row[name]}" for name in _LAKE_COLUMNS] + [f"price: {row['price_amount'] or 0:.4f}"]


_LAKE_COLUMNS: tuple[str, ...] = (
    "book_id",
    "revision",
    "title",
    "isbn13",
    "stock",
    "in_stock",
    "first_seen",
    "last_changed",
)
_LAKE_COLUMNS += ("sources", "price_currency")


class History(RuleBasedStateMachine):
    """Random changes of two shops, crawls, deliveries and jobs."""

    def __init__(self, factory: StoreFactory, scraped: Any) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._factory = factory
        self._scraped = scraped
        self._pages: dict[str, dict[str, dict[str, Any]]] = {"shop": {}, "rival": {}}
        self._published: list[StreamEntry] = []
        self._undelivered: list[StreamEntry] = []
        self._delivered: list[StreamEntry] = []
        self._minute = 0
        self._runs = 0

    @initialize(seed=st.integers(0, 2**32), policy=st.sampled_from(POLICIES), page_count=st.integers(0, 6))
    def begin(self, seed: int, policy: HoldPolicy, page_count: int) -> None:
        self._random = random.Random(seed)
        for pages in self._pages.values():
            pages.update({key: self._page(key) for key in self._random.sample(KEYS, page_count)})
        self._policy = policy
        self._stores = self._factory.create(self._stack, policy)
        self._records = self._stores.records

    @rule(source=SOURCES, changes=st.integers(1, 4))
    def change_shop(self, source: str, changes: int) -> None:
        """Add, change and delete books."""
        for key in self._random.sample(KEYS, changes):
            if self._random.random() < 0.3:
                self._pages[source].pop(key, None)
            else:
                self._pages[source][key] = self._page(key)

    def _page(self, key: str) -> dict[str, Any]:
        price, stock = self._random.choice(PRICES), str(self._random.randint(0, 3))
        isbn = {"isbn": ISBN} if key in "abc" and self._random.random() < 0.5 else {}
        return {"key": key, "title": f"Book {key}", "price": price, "stock": stock, **isbn}

    @rule(source=SOURCES, state=st.sampled_from(ENDS), attempts=st.sampled_from([1, 1, 2]), pause=st.integers(0, 6))
    def crawl(self, source: str, state: RunState, attempts: int, pause: int) -> None:
        """The next crawl starts after the pause, even if this one is still running. Redis loses some starts, which the
        ends repeat."""
        self._runs += 1
        run = f"{source}-{self._random.randint(0, 9)}-{self._runs}"
        messages: list[RawItem | RunStarted | RunFinished] = []
        lost: list[RunStarted] = []
        number, minute = 0, self._minute
        for attempt in range(attempts):
            is_last = attempt + 1 == attempts
            seen = self._seen(source, whole=is_last and state is RunState.COMPLETE)
            start = self._of(source, self._scraped.started(run, minute=minute))
            messages.append(start)
            for page in seen:
                number += 1
                scraped_at = minute + self._random.choice([1, 1, 2, 3])
                messages.append(self._scraped.item(number, run=run, source=source, minute=scraped_at, **page))
            if is_last or self._random.random() < 0.5:
                end_state = state if is_last else RunState.PARTIAL
                end = self._of(source, self._scraped.finished(run, scraped=number, minute=minute + 4, state=end_state))
                messages.append(end.model_copy(update={"start": start}))
                lost += [start] if self._random.random() < 0.2 else []
            minute += 5
        self._minute += pause
        entries = self._scraped.entries(*messages)
        self._published += entries
        self._undelivered += [entry for entry, message in zip(entries, messages, strict=True) if message not in lost]

    @rule(source=SOURCES, changes=st.integers(0, 3))
    def crawl_again(self, source: str, changes: int) -> None:
        """Most crawls are complete and do not overlap."""
        self.change_shop(source, changes)
        self.crawl(source, RunState.COMPLETE, 1, 5)

    def _seen(self, source: str, *, whole: bool) -> list[dict[str, Any]]:
        """Return all pages of the shop, or half of them. Some are repeated, unchanged or with another price."""
        pages = list(self._pages[source].values())
        pages = pages if whole else pages[: len(pages) // 2]
        again = [page for page in pages if self._random.random() < 0.2]
        changed = [
            page | self._random.choice(({"price": "£1.00"}, {"price": "£9.00"}, {"title": None})) for page in pages
        ]
        return pages + again + [page for page in changed if self._random.random() < 0.2]

    @staticmethod
    def _of(source: str, event: Any) -> Any:
        return event.model_copy(update={"source": source})

    @rule(count=st.integers(1, 12))
    def deliver(self, count: int) -> None:
        """Deliver random entries."""
        self._random.shuffle(self._undelivered)
        batch, self._undelivered = self._undelivered[:count], self._undelivered[count:]
        self._ingest(batch)

    @rule(count=st.integers(1, 6))
    def deliver_again(self, count: int) -> None:
        self._ingest(self._random.sample(self._delivered, min(count, len(self._delivered))))

    def _ingest(self, batch: list[StreamEntry]) -> None:
        if batch:
            self._records.ingest.ingest(batch)
            self._delivered += batch

    @rule()
    def replay(self) -> None:
        self._records.replay.replay_all()

    @rule()
    def release(self) -> None:
        self._records.release()

    @rule()
    def project(self) -> None:
        self._stores.project()

    @rule()
    def rebuild(self) -> None:
        self._stores.rebuild()

    @rule()
    def refresh_lake(self) -> None:
        self._stores.refresh_lake()

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self._stack.close()

    def _end(self) -> None:
        while self._undelivered:
            self.deliver(self._random.randint(1, 8))
        self._records.release_all()
        one_by_one = self._factory.records(self._policy)
        for entry in self._published:
            one_by_one.ingest.ingest([entry])
        one_by_one.release_all()
        assert catalog_contents(self._records.engine) == catalog_contents(one_by_one.engine)
        self._stores.project()
        self._stores.refresh_lake()
        self._stores.check_copies()


@pytest.fixture
def store_factory(
    request: pytest.FixtureRequest,
    new_engine: Callable[[], Engine],
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[str, StoreFactory]]:
    """On SQLite, Tantivy and a folder, or on PostgreSQL, Elasticsearch and a bucket."""
    is_embedded = new_engine().dialect.name == "sqlite"
    cluster = None if is_embedded else (request.getfixturevalue("elasticsearch_server"), request.getfixturevalue("s3"))
    for pause in ("tantivy.build._CLEANUP_DELAY_SECONDS", "elasticsearch.build._CLEANUP_DELAY_SECONDS"):
        monkeypatch.setattr(f"bookwheel_stores.search.{pause}", 0)  # no other process reads the old index
    factory = StoreFactory(new_engine, tmp_path, redis_url, cluster)
    yield "embedded" if is_embedded else "cluster", factory
    factory.redis.close()


@pytest.mark.timeout(0)
@pytest.mark.slow_on("postgresql")
def test_any_order_leads_to_the_same_catalog(store_factory: tuple[str, StoreFactory], scraped: Any) -> None:
    engines, factory = store_factory
    histories = int(os.environ.get("BOOKWHEEL_HISTORIES", HISTORIES[engines]))
    create_history: Any = partial(History, factory, scraped)  # hypothesis calls it like a class
    run_state_machine_as_test(
        create_history,
        settings=settings(
            max_examples=histories,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )

"""Whatever happens on the way, and in whatever order, records, index and lake come to the same catalogue.

Two shops live on: books appear, change and vanish, and the shops are crawled. What the crawls publish is delivered in
any order, in parts and also twice, with projections, rebuilds, replays and refreshes of the lake in between. In the end
the catalogue is what the same messages come to one by one. `BOOKWHEEL_HISTORIES` says how many histories are tried.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from bookwheel_contracts import RunState
from bookwheel_processor.ingest import Ingest
from bookwheel_processor.projection import Projection
from bookwheel_processor.replay import Replay
from bookwheel_processor.silver_projection import SilverProjection
from bookwheel_stores.cache import Generation
from bookwheel_stores.lake import Lake, LakeAddress, Silver
from bookwheel_stores.records import BookReader, ChangeFeed
from bookwheel_stores.records.feed_states import FeedStates
from bookwheel_stores.search import open_index_build, open_index_reader, open_index_writer
from bookwheel_stores.search.queries import SearchQuery, Selection, Sort
from bookwheel_stores.streams import StreamEntry, connect_redis
from bookwheel_testing.search import elasticsearch_url
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from orjson import loads
from sqlalchemy import Engine

HISTORIES = {"embedded": 40, "cluster": 6}
ISBN = "0306406152"
KEYS = st.sampled_from("abcdef")
PRICES = st.sampled_from(["£1.00", "£2.00", "£3.50", "$4", None, "nonsense"])
# which numbers and revisions a book goes through, and which of its sightings is the first, depends on the order
VOLATILE = {"number", "revision", "first_seen", "last_changed", "last_seen"}
Catalogue = dict[str, dict[str, Any]]


class Places:
    """Makes stores of its own for each history: records, an index, a lake."""

    def __init__(
        self, new_engine: Callable[[], Engine], folder: Path, redis_url: str, elasticsearch: str | None
    ) -> None:
        self._new_engine = new_engine
        self._folder = folder
        self._elasticsearch = elasticsearch
        self.redis = connect_redis(redis_url)

    def new(self, stack: ExitStack) -> "Stores":
        folder = self._folder / uuid4().hex
        if self._elasticsearch is None:
            search_url = f"tantivy://{folder}/index"
        else:
            search_url = stack.enter_context(elasticsearch_url(self._elasticsearch))
        return Stores(self._new_engine(), search_url, Lake(LakeAddress(url=f"file://{folder}/lake")), self.redis)


class Stores:
    """What one history fills."""

    def __init__(self, engine: Engine, search_url: str, lake: Lake, redis: Any) -> None:
        feed = ChangeFeed(engine)
        self.engine = engine
        self.search_url = search_url
        self.ingest = Ingest(engine)
        self.replay = Replay(engine)
        self.projection = Projection(feed, Generation(redis), 3)
        self.silver = SilverProjection(feed, FeedStates(engine), Silver(lake))

    def project(self) -> None:
        with open_index_writer(self.search_url) as index:
            self.projection.catch_up(index)

    def refresh_lake(self) -> None:
        self.silver.observe()
        self.silver.refresh_books()
        self.silver.compact()

    def recorded(self) -> Catalogue:
        books = BookReader(self.engine).page(after_number=0, limit=100)
        volatile: Any = {**dict.fromkeys(VOLATILE, True), "offers": {"__all__": {"first_seen": True}}}
        return {book.id: book.model_dump(mode="json", exclude=volatile) for book in books}

    def revisions(self) -> dict[str, int]:
        return {book.id: book.revision for book in BookReader(self.engine).page(after_number=0, limit=100)}

    def indexed(self) -> dict[str, Any]:
        reader = open_index_reader(self.search_url)
        reader.reload()
        page = reader.search(SearchQuery(Selection(), Sort.NEWEST, 100))
        found = {item["id"]: item for item in map(loads, page.items)}
        assert page.total == len(found)
        return found

    def in_lake(self) -> dict[str, int]:
        rows = [row for table in self.silver.silver.catalogue() for row in table.to_pylist()]
        assert len({row["book_id"] for row in rows}) == len(rows)
        return {row["book_id"]: row["revision"] for row in rows}


class History(RuleBasedStateMachine):
    """One life of two shops and of the suite that follows them."""

    def __init__(self, places: Places, scraped: Any) -> None:
        super().__init__()
        self._stack = ExitStack()
        self._places = places
        self._scraped = scraped
        self._stores = places.new(self._stack)
        self._shelves: dict[str, dict[str, dict[str, Any]]] = {"shop": {}, "rival": {}}
        self._published: list[StreamEntry] = []
        self._waiting: list[StreamEntry] = []
        self._delivered: list[StreamEntry] = []
        self._minute = 0
        self._runs = 0

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self._chance = random.Random(seed)

    @rule(source=st.sampled_from(["shop", "rival"]), key=KEYS, price=PRICES, has_isbn=st.booleans())
    def shelve(self, source: str, key: str, price: str | None, *, has_isbn: bool) -> None:
        """A book appears, or says something else."""
        book = {"key": key, "title": f"Book {key}", "price": price, "stock": str(self._chance.randint(0, 3))}
        self._shelves[source][key] = book | ({"isbn": ISBN} if has_isbn and key == "a" else {})

    @rule(source=st.sampled_from(["shop", "rival"]), key=KEYS)
    def vanish(self, source: str, key: str) -> None:
        self._shelves[source].pop(key, None)

    @rule(
        source=st.sampled_from(["shop", "rival"]),
        state=st.sampled_from([RunState.COMPLETE, RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED]),
    )
    def crawl(self, source: str, state: RunState) -> None:
        self._waiting += self._crawl(source, state)

    def _crawl(self, source: str, state: RunState = RunState.COMPLETE) -> list[StreamEntry]:
        self._runs += 1
        self._minute += 10
        run = f"{source}-{self._runs}"
        shelf = list(self._shelves[source].values())
        seen = shelf if state is RunState.COMPLETE else shelf[: len(shelf) // 2]
        items = [
            self._scraped.item(number, run=run, source=source, minute=self._minute + 1, **book)
            for number, book in enumerate(seen, 1)
        ]
        started = self._scraped.started(run, minute=self._minute).model_copy(update={"source": source})
        finished = self._scraped.finished(run, scraped=len(items), minute=self._minute + 4, state=state)
        entries = self._scraped.entries(started, *items, finished.model_copy(update={"source": source}))
        self._published += entries
        return list(entries)

    @rule(count=st.integers(1, 12))
    def deliver(self, count: int) -> None:
        """Some of what waits, whichever."""
        self._chance.shuffle(self._waiting)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._take(batch)

    @rule(count=st.integers(1, 6))
    def deliver_again(self, count: int) -> None:
        self._take(self._chance.sample(self._delivered, min(count, len(self._delivered))))

    def _take(self, batch: list[StreamEntry]) -> None:
        if batch:
            self._stores.ingest.take(batch)
            self._delivered += batch

    @rule()
    def replay(self) -> None:
        self._stores.replay.all()

    @rule()
    def project(self) -> None:
        self._stores.project()

    @rule()
    def rebuild(self) -> None:
        with open_index_build(self._stores.search_url) as build:
            self._stores.projection.rebuild(build)

    @rule()
    def refresh_lake(self) -> None:
        self._stores.refresh_lake()

    def teardown(self) -> None:
        try:
            self._end()
        finally:
            self._stack.close()

    def _end(self) -> None:
        while self._waiting:
            self.deliver(self._chance.randint(1, 8))
        # what only a broken-off crawl saw is removed by complete ones that miss it, once such have ended
        self._take(self._crawl("shop") + self._crawl("rival"))
        one_by_one = self._places.new(self._stack)
        for entry in self._published:
            one_by_one.ingest.take([entry])
        recorded = self._stores.recorded()
        assert recorded == one_by_one.recorded()
        self._stores.project()
        self._stores.refresh_lake()
        revisions = self._stores.revisions()
        indexed = self._stores.indexed()
        assert {book_id: item["revision"] for book_id, item in indexed.items()} == revisions
        assert self._stores.in_lake() == revisions
        for book_id, item in indexed.items():
            shown = {name: value for name, value in item.items() if name not in VOLATILE}
            shown["offers"] = [_shown_offer(offer) for offer in shown["offers"]]
            kept = recorded[book_id] | {"offers": [_shown_offer(offer) for offer in recorded[book_id]["offers"]]}
            assert shown == {name: kept[name] for name in shown}


def _shown_offer(offer: dict[str, Any]) -> dict[str, Any]:
    return {name: offer[name] for name in ("source", "url", "price", "stock", "in_stock")}


@pytest.fixture
def places(
    request: pytest.FixtureRequest, new_engine: Callable[[], Engine], tmp_path: Path, redis_url: str
) -> Iterator[tuple[str, Places]]:
    """On SQLite and Tantivy, or on PostgreSQL and Elasticsearch."""
    is_embedded = new_engine().dialect.name == "sqlite"
    server = None if is_embedded else request.getfixturevalue("elasticsearch_server")
    found = Places(new_engine, tmp_path, redis_url, server)
    yield "embedded" if is_embedded else "cluster", found
    found.redis.close()


@pytest.mark.timeout(0)
def test_any_order_comes_to_the_same_catalogue(places: tuple[str, Places], scraped: Any) -> None:
    engines, stores = places
    histories = int(os.environ.get("BOOKWHEEL_HISTORIES", HISTORIES[engines]))
    make: Any = partial(History, stores, scraped)  # what it wants is called like a class
    run_state_machine_as_test(
        make,
        settings=settings(
            max_examples=histories,
            stateful_step_count=25,
            deadline=None,
            print_blob=True,
            phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )

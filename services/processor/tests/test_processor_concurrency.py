"""Concurrent workers ingest items of the same books: the records are the same as after one worker."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from bookwheel_contracts import RunState, Verdict
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_stores.records import FeedReader, RunStore, connect_database, upgrade_database
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.consistency import catalog_contents, check_consistent
from bookwheel_testing.engines import Postgres
from sqlalchemy import Connection, Engine, event, text

# Whether a run is held depends on the records at its end, and so on the order.
NOTHING_IS_HELD = HoldPolicy(share=1.0)
WORKERS, SIGHTINGS, BATCH = 4, 2000, 25
PRICES = ("£1.00", "£2.00", "£3.50", "nonsense")
ISBNS = ("0306406152", "9780140449136", "9780141439518", "9780679783268", None, None, None)


@pytest.fixture
def postgresql(postgres_url: str) -> Iterator[Engine]:
    engine = connect_database(postgres_url)
    upgrade_database(engine)
    yield engine
    engine.dispose()


Batches = list[list[StreamEntry]]


class ItemGenerator:
    """Creates items of three shops, each scraped at a different time. Some move between books, some are invalid."""

    def __init__(self, scraped: Any) -> None:
        self.random = random.Random(11)
        self.totals: Counter[str] = Counter()
        self._scraped = scraped
        self._minutes = iter(self.random.sample(range(SIGHTINGS * 10), SIGHTINGS))

    def item(self, page: int) -> Any:
        run = f"run-{self.random.randrange(3)}"  # sees some pages repeatedly
        self.totals[run] += 1
        fields: dict[str, str | None] = {
            "key": f"k-{page}",
            "source": f"shop-{page % 3}",
            "title": f"Title {page % 10}" if self.random.random() < 0.75 else None,
        }
        fields |= {"isbn": self.random.choice(ISBNS), "price": self.random.choice(PRICES)}
        return self._scraped.item(self.totals[run], run=run, minute=next(self._minutes) / 60, **fields)

    def batches(self, pages: list[list[int]]) -> Batches:
        """A batch per list of pages, and a last batch with the ends of the runs."""
        batches = [self._scraped.entries(*(self.item(page) for page in batch)) for batch in pages]
        ends = [self._scraped.finished(run, scraped=total, minute=SIGHTINGS) for run, total in self.totals.items()]
        return [*batches, self._scraped.entries(*ends)]


def repeated_pages(generator: random.Random) -> list[list[int]]:
    """The same pages in all batches, also repeated within a batch."""
    return [[generator.randrange(40) for _ in range(BATCH)] for _ in range(SIGHTINGS // BATCH)]


def overlapping_pages(generator: random.Random) -> list[list[int]]:
    """Different pages in a batch, some of which are in the previous or next batch, and some of which are new."""
    return [generator.sample(range(at * 3, at * 3 + 2 * BATCH), BATCH) for at in range(SIGHTINGS // BATCH)]


def ingest_concurrently(engine: Engine, batches: Batches, seen: list[int]) -> None:
    """Ingest the batches with all workers, while a reader appends the feed's sequences to `seen`."""
    remaining = iter(batches)
    lock, done = threading.Lock(), threading.Event()

    def work(_worker: int) -> None:
        ingest = ItemPipeline(engine, NOTHING_IS_HELD)
        while True:
            with lock:
                batch = next(remaining, None)
            if batch is None:
                return
            ingest.ingest(batch)

    def follow() -> None:
        feed, is_last = FeedReader(engine), False
        while not is_last:
            is_last = done.is_set()
            seen.extend(entry.sequence for entry in feed.read(after=seen[-1] if seen else 0, limit=100_000))

    with ThreadPoolExecutor(WORKERS + 1) as pool:
        following = pool.submit(follow)
        try:
            list(pool.map(work, range(WORKERS)))
        finally:
            done.set()
        following.result(60)


def deadlocks(engine: Engine) -> int:
    engine.dispose()  # PostgreSQL publishes the counts of a session when it ends
    with engine.connect() as connection:
        query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int(connection.scalar(text(query)) or 0)


def check_outcome(engine: Engine, totals: Counter[str]) -> None:
    for run_id, total in totals.items():
        run = RunStore(engine).get(run_id)
        assert run is not None
        assert run.state is RunState.COMPLETE
        assert run.counts.scraped == total == sum(getattr(run.counts, verdict.value) for verdict in Verdict)
    check_consistent(engine)


@pytest.mark.parametrize("pages", [pytest.param(repeated_pages, marks=pytest.mark.slow), overlapping_pages])
def test_many_workers_under_faults_reach_the_result_of_one(
    postgresql: Engine, postgres: Postgres, scraped: Any, pages: Callable[[random.Random], list[list[int]]]
) -> None:
    generator = ItemGenerator(scraped)
    batches = generator.batches(pages(generator.random))
    again = [[StreamEntry(entry.id, entry.body, 2) for entry in batch] for batch in batches[::10]]
    deliveries = [batch for at in range(len(again)) for batch in (*batches[at * 10 : at * 10 + 10], again[at])]
    seen: list[int] = []
    with collisions(postgresql) as rollbacks:
        ingest_concurrently(postgresql, deliveries, seen)
    check_outcome(postgresql, generator.totals)
    assert seen == [entry.sequence for entry in FeedReader(postgresql).read(after=0, limit=100_000)]
    assert deadlocks(postgresql) == 0
    if pages is overlapping_pages:
        assert rollbacks, "workers had conflicts, or the test shows little"
    with postgres.database() as url:
        sequential = connect_database(url)
        upgrade_database(sequential)
        for batch in batches:
            ItemPipeline(sequential, NOTHING_IS_HELD).ingest(batch)
        check_outcome(sequential, generator.totals)
        assert catalog_contents(postgresql) == catalog_contents(sequential)
        assert QuarantineStore(postgresql).count() == QuarantineStore(sequential).count()
        sequential.dispose()


@contextmanager
def collisions(engine: Engine) -> Iterator[list[str]]:
    """Yield a list that gets an entry for each rollback of a writing transaction."""
    rollbacks: list[str] = []

    def record_rollback(connection: Connection) -> None:
        if not connection.get_execution_options().get("postgresql_readonly"):
            rollbacks.append("rollback")

    event.listen(engine, "rollback", record_rollback)
    yield rollbacks
    event.remove(engine, "rollback", record_rollback)

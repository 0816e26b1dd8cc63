"""Many ingests at once over the same books: whatever their order, the records come out as if one had done it all."""

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

# What is held depends on what is known when a run ends.
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


class Weather:
    """Makes items of the pages of three shops, each seen at a moment of its own; some of them move between books, some
    cannot be read."""

    def __init__(self, scraped: Any) -> None:
        self.chance = random.Random(11)
        self.totals: Counter[str] = Counter()
        self._scraped = scraped
        self._minutes = iter(self.chance.sample(range(SIGHTINGS * 10), SIGHTINGS))

    def item(self, page: int) -> Any:
        run = f"run-{self.chance.randrange(3)}"  # meets some pages over and over
        self.totals[run] += 1
        found: dict[str, str | None] = {"key": f"k-{page}", "source": f"shop-{page % 3}", "title": f"Title {page % 10}"}
        found |= {"isbn": self.chance.choice(ISBNS), "price": self.chance.choice(PRICES)}
        return self._scraped.item(self.totals[run], run=run, minute=next(self._minutes) / 60, **found)

    def batches(self, pages: list[list[int]]) -> Batches:
        """One for each list of pages, and one with the ends of the runs."""
        found = [self._scraped.entries(*(self.item(page) for page in each)) for each in pages]
        ends = [self._scraped.finished(run, scraped=total, minute=SIGHTINGS) for run, total in self.totals.items()]
        return [*found, self._scraped.entries(*ends)]


def any_pages(chance: random.Random) -> list[list[int]]:
    """The same ones over and over, also within a batch."""
    return [[chance.randrange(40) for _ in range(BATCH)] for _ in range(SIGHTINGS // BATCH)]


def pages_that_move_on(chance: random.Random) -> list[list[int]]:
    """None twice in a batch, but in those before and after it; some of each batch are new."""
    return [chance.sample(range(at * 3, at * 3 + 2 * BATCH), BATCH) for at in range(SIGHTINGS // BATCH)]


def storm(engine: Engine, batches: Batches, seen: list[int]) -> None:
    """Takes the batches in with all workers at once, while a reader follows the feed."""
    waiting = iter(batches)
    lock, done = threading.Lock(), threading.Event()

    def work(_worker: int) -> None:
        ingest = ItemPipeline(engine, NOTHING_IS_HELD)
        while True:
            with lock:
                batch = next(waiting, None)
            if batch is None:
                return
            ingest.ingest(batch)

    def follow() -> None:
        feed, is_last = FeedReader(engine), False
        while not is_last:
            is_last = done.is_set()
            seen.extend(found.sequence for found in feed.read(after=seen[-1] if seen else 0, limit=100_000))

    with ThreadPoolExecutor(WORKERS + 1) as pool:
        following = pool.submit(follow)
        try:
            list(pool.map(work, range(WORKERS)))
        finally:
            done.set()
        following.result(60)


def deadlocks(engine: Engine) -> int:
    engine.dispose()  # what a session has counted is told when it ends
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


@pytest.mark.parametrize("pages", [pytest.param(any_pages, marks=pytest.mark.slow), pages_that_move_on])
def test_many_workers_under_faults_reach_the_result_of_one(
    postgresql: Engine, postgres: Postgres, scraped: Any, pages: Callable[[random.Random], list[list[int]]]
) -> None:
    weather = Weather(scraped)
    batches = weather.batches(pages(weather.chance))
    again = [[StreamEntry(entry.id, entry.body, 2) for entry in batch] for batch in batches[::10]]
    handed_out = [batch for at in range(len(again)) for batch in (*batches[at * 10 : at * 10 + 10], again[at])]
    seen: list[int] = []
    with collisions(postgresql) as given_up:
        storm(postgresql, handed_out, seen)
    check_outcome(postgresql, weather.totals)
    assert seen == [found.sequence for found in FeedReader(postgresql).read(after=0, limit=100_000)]
    assert deadlocks(postgresql) == 0
    if pages is pages_that_move_on:
        assert given_up, "several workers met the same new books: else this shows little"
    with postgres.database() as url:
        alone = connect_database(url)
        upgrade_database(alone)
        for batch in batches:
            ItemPipeline(alone, NOTHING_IS_HELD).ingest(batch)
        check_outcome(alone, weather.totals)
        assert catalog_contents(postgresql) == catalog_contents(alone)
        assert QuarantineStore(postgresql).count() == QuarantineStore(alone).count()
        alone.dispose()


@contextmanager
def collisions(engine: Engine) -> Iterator[list[str]]:
    """Has an entry for each transaction that wrote and was given up meanwhile."""
    found: list[str] = []

    def note(connection: Connection) -> None:
        if not connection.get_execution_options().get("postgresql_readonly"):
            found.append("rollback")

    event.listen(engine, "rollback", note)
    yield found
    event.remove(engine, "rollback", note)

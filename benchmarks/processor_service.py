"""A processor without the rest of the suite: Redis, records, index, a worker and a scheduler."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bookwheel_contracts import CrawlRun, RunFinished, RunState
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_processor.worker.dependencies import GROUP
from bookwheel_runtime.healthcheck import get_health_error
from bookwheel_runtime.traces import new_traceparent
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder, ScrapedBook
from bookwheel_stores.records import RunStore, connect_database, upgrade_database
from bookwheel_stores.streams import StreamReader, StreamWriter, connect_redis
from bookwheel_testing.servers import free_port, redis_answers, redis_command, running, wait_until

from benchmarks.sample_items import scraped_books

PREPARED_STREAM = "prepared"
STREAM_ITEMS = 20_000  # the scraper's limit for unprocessed items
PROCESSOR = Path(sys.prefix) / "bin" / "bookwheel-processor"


@contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    folder.mkdir(parents=True, exist_ok=True)
    with running(redis_command(port, folder), log=folder / "redis.log", ready=lambda: redis_answers(url)):
        yield url


@dataclass(frozen=True, slots=True)
class Processor:
    """The records and the index are in `folder`, unless `database` or `index` is a URL.

    Each processor needs its own Redis.
    """

    folder: Path
    redis_url: str
    database: str | None = None
    index: str | None = None

    @property
    def records_url(self) -> str:
        return self.database or f"sqlite:///{self.folder}/bookwheel.sqlite"

    @property
    def search_url(self) -> str:
        return self.index or f"tantivy://{self.folder}/index"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BOOKWHEEL_DATABASE_URL": self.records_url,
            "BOOKWHEEL_SEARCH_URL": self.search_url,
            "BOOKWHEEL_REDIS_URL": self.redis_url,
            "BOOKWHEEL_STATE_DIR": str(self.folder),
        }

    @property
    def worker_options(self) -> list[str]:
        return ["--queues=ingest,project,maintenance"]

    def is_done(self, run: CrawlRun) -> bool:
        """Whether the items of the run have been written."""
        return run.searchable

    @contextmanager
    def running(self) -> Iterator[None]:
        """Runs a worker and a scheduler. The worker does not serve the queue of the lake."""
        self.folder.mkdir(parents=True, exist_ok=True)
        engine = connect_database(self.records_url)
        upgrade_database(engine)
        engine.dispose()
        environment, port = self.environment, free_port()
        beat = running([PROCESSOR, "beat"], log=self.folder / "beat.log", ready=lambda: True, environment=environment)
        worker = running(
            [PROCESSOR, "worker", *self.worker_options],
            log=self.folder / "worker.log",
            ready=lambda: get_health_error(port, "/readyz") is None,
            seconds=90,
            environment={**environment, "BOOKWHEEL_METRICS_PORT": str(port)},
        )
        with beat, worker:
            yield

    def ingest(self, run_id: str, books: Sequence[ScrapedBook]) -> float:
        """Returns items/s, from a full stream until the stream is empty and the run `is_done`."""
        self._prepare(run_id, books)
        redis = connect_redis(self.redis_url)
        raw = StreamReader(redis, RAW_STREAM, group=GROUP, consumer="benchmark")
        engine = connect_database(self.records_url)
        runs = RunStore(engine)

        def is_finished() -> bool:
            run = runs.get(run_id)
            return run is not None and self.is_done(run) and not raw.has_backlog()

        started = time.perf_counter()
        redis.rename(PREPARED_STREAM, RAW_STREAM)
        wait_until(is_finished, seconds=300, what=f"{len(books)} items ingested")
        seconds = time.perf_counter() - started
        engine.dispose()
        return len(books) / seconds

    def fill(self, books: int) -> float:
        """Fills an empty catalog in runs of `STREAM_ITEMS` books. Returns items/s."""
        seconds = 0.0
        with self.running():
            for start in range(0, books, STREAM_ITEMS):
                items = min(STREAM_ITEMS, books - start)
                seconds += items / self.ingest(f"run-{start}", scraped_books(start, items))
        return books / seconds

    def _prepare(self, run_id: str, books: Sequence[ScrapedBook]) -> None:
        """Writes a run's items and its finish message to another stream. Renaming it publishes all of them at once."""
        redis = connect_redis(self.redis_url)
        redis.xgroup_create(PREPARED_STREAM, GROUP, id="0", mkstream=True)
        writer, traceparent = StreamWriter(redis, PREPARED_STREAM), new_traceparent()
        item_messages = ItemMessageBuilder(run_id=run_id, source="demo", traceparent=traceparent)
        for start in range(0, len(books), 1000):
            batch = enumerate(books[start : start + 1000], start + 1)
            writer.publish([item_messages.build(book, item_number=number) for number, book in batch])
        finish_message = RunFinished(
            run_id=run_id,
            source="demo",
            finished_at=datetime.now(UTC),
            state=RunState.COMPLETE,
            reason=None,
            scraped=len(books),
            pages=len(books),
            errors=0,
            traceparent=traceparent,
        )
        writer.publish([finish_message.model_dump_json()])


class GrowingCatalog:
    """The catalog of a running processor with `books` books. Each call of `add` ingests new books."""

    def __init__(self, processor: Processor, *, books: int = 0) -> None:
        self.processor = processor
        self._books = books

    def add(self, items: int) -> float:
        """Returns items/s."""
        rate = self.processor.ingest(f"run-{self._books}", scraped_books(self._books, items))
        self._books += items
        return rate

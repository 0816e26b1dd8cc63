"""Items into PostgreSQL: beside a raw COPY of the same rows, and with two workers beside one.

`python -m benchmarks.bench_records copy` measures the first alone, `workers` the second.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from bookwheel_contracts import CrawlRun, RunState
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_stores.records import connect_database, upgrade_database
from bookwheel_testing.engines import Postgres, running_postgres

from benchmarks.bare_loop import TABLES
from benchmarks.harness import compare, run
from benchmarks.processor_service import Processor, redis_server
from benchmarks.results import Result, save
from benchmarks.sample_items import scraped_books

ITEMS = 20_000
Rows = dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True)
class IngestOnly(Processor):
    """A worker of the ingest queue alone: no index, no lake."""

    workers: int = 1

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"BOOKWHEEL_INGEST_WORKERS": str(self.workers)}

    @property
    def worker_options(self) -> list[str]:
        return ["--queues", "ingest", "--concurrency", str(self.workers + 1)]

    def is_done(self, run: CrawlRun) -> bool:
        return run.state is RunState.COMPLETE


class GrowingRecords:
    """A running worker with a database of its own. Each call adds new books."""

    def __init__(self, folder: Path, server: Postgres, stack: ExitStack, *, workers: int) -> None:
        redis = stack.enter_context(redis_server(folder / "redis"))
        self.url = stack.enter_context(server.database())
        self._processor = IngestOnly(folder, redis, self.url, workers=workers)
        stack.enter_context(self._processor.running())
        self._books = 0

    def add(self) -> float:
        """Items per second."""
        rate = self._processor.ingest(f"run-{self._books}", scraped_books(self._books, ITEMS))
        self._books += ITEMS
        return rate


def read_rows(url: str) -> Rows:
    """What the worker wrote, as plain values in the order of the books: a row follows those that it refers to."""
    book_of_offer = "(SELECT book_number FROM offer WHERE offer.number = offer_number)"
    order = {
        "offer": "book_number",
        "observation": book_of_offer,
        "change": "book_number",
        "processed_item": "item_number",
    }
    with psycopg.connect(url) as connection:
        rows = {
            table: connection.execute(f"SELECT * FROM {table} ORDER BY {order.get(table, 'number')}").fetchall()
            for table in TABLES
        }
        runs = connection.execute("SELECT * FROM crawl_run").fetchall()
    return {"crawl_run": runs, **rows}


@contextmanager
def empty_records(server: Postgres) -> Iterator[str]:
    with server.database() as url:
        engine = connect_database(url)
        upgrade_database(engine)
        engine.dispose()
        yield url


def copy_rows(server: Postgres, rows: Rows, *, transaction: int) -> float:
    """Items per second of one process that copies the rows into new tables, `transaction` items at a time."""
    with empty_records(server) as url, psycopg.connect(url) as connection:
        started = time.perf_counter()
        _copy(connection, "crawl_run", rows["crawl_run"])
        for start in range(0, ITEMS, transaction):
            for table in TABLES:
                _copy(connection, table, rows[table][start : start + transaction])
            connection.commit()
        return ITEMS / (time.perf_counter() - started)


def _copy(connection: psycopg.Connection, table: str, rows: list[tuple[object, ...]]) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def beside_copy(folder: Path, server: Postgres) -> Result:
    with ExitStack() as stack:
        records = GrowingRecords(folder, server, stack, workers=2)
        records.add()
        rows = read_rows(records.url)
        return compare(
            "ingest into PostgreSQL, or COPY of the rows",
            ours=records.add,
            floor=lambda: copy_rows(server, rows, transaction=ProcessorSettings().ingest_batch),
            bound=0.5,
            unit="items/s",
        )


def two_beside_one(folder: Path, server: Postgres) -> Result:
    with ExitStack() as stack:
        two = GrowingRecords(folder / "two", server, stack, workers=2)
        one = GrowingRecords(folder / "one", server, stack, workers=1)
        return compare(
            "ingest into PostgreSQL, two workers or one",
            ours=two.add,
            floor=one.add,
            bound=1.5,
            unit="items/s",
        )


CLAIMS = {"copy": beside_copy, "workers": two_beside_one}


def main(arguments: list[str]) -> None:
    for claim in arguments or CLAIMS:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name, running_postgres(durable=True) as postgres:
            save([CLAIMS[claim](Path(name), postgres)])


if __name__ == "__main__":
    run(main)

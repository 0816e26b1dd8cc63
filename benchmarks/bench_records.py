"""Ingest into PostgreSQL with two workers, compared with COPY of the same rows, and with one worker.

`python -m benchmarks.bench_records copy` measures only the first, `workers` only the second.
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
from benchmarks.processor_service import GrowingCatalog, Processor, redis_server
from benchmarks.results import Result, save

ITEMS = 20_000
Rows = dict[str, list[tuple[object, ...]]]


@dataclass(frozen=True)
class IngestOnly(Processor):
    """A worker that serves only the ingest queue: no index, no lake."""

    workers: int = 1

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"BOOKWHEEL_INGEST_WORKERS": str(self.workers)}

    @property
    def worker_options(self) -> list[str]:
        return ["--queues", "ingest", "--concurrency", str(self.workers + 1)]

    def is_done(self, run: CrawlRun) -> bool:
        return run.state is RunState.COMPLETE


def start_catalog(folder: Path, server: Postgres, stack: ExitStack, *, workers: int) -> GrowingCatalog:
    """Starts a processor with its own Redis and database."""
    redis = stack.enter_context(redis_server(folder / "redis"))
    processor = IngestOnly(folder, redis, stack.enter_context(server.database()), workers=workers)
    stack.enter_context(processor.running())
    return GrowingCatalog(processor)


def read_rows(url: str) -> Rows:
    """Reads the rows that the worker wrote, in the order of the books: a row follows the rows that it refers to."""
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
    """Copies the rows into new tables, `transaction` items at a time. Returns items/s."""
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


def compare_with_copy(folder: Path, server: Postgres) -> Result:
    with ExitStack() as stack:
        catalog = start_catalog(folder, server, stack, workers=2)
        catalog.add(ITEMS)
        rows = read_rows(catalog.processor.records_url)
        return compare(
            "ingest into PostgreSQL, or COPY of the rows",
            ours=lambda: catalog.add(ITEMS),
            floor=lambda: copy_rows(server, rows, transaction=ProcessorSettings().ingest_batch),
            bound=0.5,
            unit="items/s",
        )


def compare_with_one_worker(folder: Path, server: Postgres) -> Result:
    with ExitStack() as stack:
        two_workers = start_catalog(folder / "two", server, stack, workers=2)
        one_worker = start_catalog(folder / "one", server, stack, workers=1)
        return compare(
            "ingest into PostgreSQL, two workers or one",
            ours=lambda: two_workers.add(ITEMS),
            floor=lambda: one_worker.add(ITEMS),
            bound=1.5,
            unit="items/s",
        )


COMPARISONS = {"copy": compare_with_copy, "workers": compare_with_one_worker}


def main(arguments: list[str]) -> None:
    for comparison in arguments or COMPARISONS:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name, running_postgres(durable=True) as postgres:
            save([COMPARISONS[comparison](Path(name), postgres)])


if __name__ == "__main__":
    run(main)

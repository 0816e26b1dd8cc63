"""Ingest and projection: beside one task per item, beside a bare loop, and as the catalog grows.

`python -m benchmarks.bench_ingest` measures all three; `tasks`, `bare` or `growth` as arguments select some.
"""

import shutil
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from bookwheel_processor.settings import ProcessorSettings

from benchmarks.bare_loop import read_written_rows, write_rows
from benchmarks.celery_baseline import CeleryBaseline
from benchmarks.harness import compare, run
from benchmarks.processor_service import STREAM_ITEMS, Processor, redis_server
from benchmarks.results import Result, save
from benchmarks.sample_items import scraped_books

ITEMS, CELERY_ITEMS = 10_000, 200
SMALL, LARGE, ADDED = 1_000, 100_000, 4_000


class GrowingCatalog:
    """The catalog of a running processor. Each call adds new books."""

    def __init__(self, processor: Processor, *, books: int = 0) -> None:
        self._processor = processor
        self._books = books

    def add(self, items: int) -> float:
        """Items per second."""
        rate = self._processor.ingest(f"run-{self._books}", scraped_books(self._books, items))
        self._books += items
        return rate


def beside_tasks(folder: Path) -> Result:
    rounds = count()
    with ExitStack() as stack:
        processor = Processor(folder / "ours", stack.enter_context(redis_server(folder / "redis")))
        stack.enter_context(processor.running())
        catalog = GrowingCatalog(processor)
        baseline = CeleryBaseline(folder / "celery", stack.enter_context(redis_server(folder / "redis-celery")))
        stack.enter_context(baseline.running())
        return compare(
            "ingest and projection, or a task per item",
            ours=lambda: catalog.add(ITEMS),
            floor=lambda: baseline.ingest(scraped_books(next(rounds) * CELERY_ITEMS, CELERY_ITEMS)),
            bound=20,
            unit="items/s",
            rounds=3,
        )


def beside_bare_loop(folder: Path) -> Result:
    """Both fill an empty catalog; ours after a first thousand books, for which the worker imports and compiles."""
    settings = ProcessorSettings()
    rounds = count()
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        processor = Processor(folder / "ours", redis_url)

        def ours() -> float:
            shutil.rmtree(processor.folder, ignore_errors=True)
            with processor.running():
                catalog = GrowingCatalog(processor)
                catalog.add(SMALL)
                return catalog.add(ITEMS)

        ours()
        rows = read_written_rows(processor.folder / "bookwheel.sqlite")

        def bare_loop() -> float:
            target = folder / f"bare-{next(rounds)}"
            try:
                return write_rows(rows, target, transaction=settings.ingest_batch, commit=settings.projection_batch)
            finally:
                shutil.rmtree(target)

        return compare("ingest and projection, or a bare loop", ours=ours, floor=bare_loop, bound=0.5, unit="items/s")


def growth(folder: Path) -> Result:
    """Adds the same number of books to a large and to a small catalog. The small one is reset in each round."""
    with ExitStack() as stack:
        small_redis = stack.enter_context(redis_server(folder / "redis-small"))
        template = Processor(folder / "template", small_redis)
        with template.running():
            GrowingCatalog(template).add(SMALL)

        large = Processor(folder / "large", stack.enter_context(redis_server(folder / "redis-large")))
        stack.enter_context(large.running())
        large_catalog = GrowingCatalog(large)
        for _ in range(0, LARGE, STREAM_ITEMS):
            large_catalog.add(STREAM_ITEMS)

        def added_to_small() -> float:
            small = Processor(folder / "small", small_redis)
            shutil.copytree(template.folder, small.folder)
            try:
                with small.running():
                    return GrowingCatalog(small, books=SMALL).add(ADDED)
            finally:
                shutil.rmtree(small.folder)

        return compare(
            f"ingest at {LARGE:,} books, or at {SMALL:,}",
            ours=lambda: large_catalog.add(ADDED),
            floor=added_to_small,
            bound=0.8,
            unit="items/s",
        )


CLAIMS = {"tasks": beside_tasks, "bare": beside_bare_loop, "growth": growth}


def main(arguments: list[str]) -> None:
    for claim in arguments or CLAIMS:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
            save([CLAIMS[claim](Path(name))])


if __name__ == "__main__":
    run(main)

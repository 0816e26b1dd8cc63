"""Ingest and projection, compared with a task per item, with a bare loop, and with a smaller catalog.

`python -m benchmarks.bench_ingest` measures all three. The arguments `tasks`, `bare` and `growth` select some.
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
from benchmarks.processor_service import STREAM_ITEMS, GrowingCatalog, Processor, redis_server
from benchmarks.results import Result, save
from benchmarks.sample_items import scraped_books

ITEMS, CELERY_ITEMS = 10_000, 200
SMALL, LARGE, ADDED = 1_000, 100_000, 4_000


def compare_with_tasks(folder: Path) -> Result:
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


def compare_with_bare_loop(folder: Path) -> Result:
    """Both fill an empty catalog. The processor first ingests 1,000 books, so its imports are not measured."""
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


def compare_with_small_catalog(folder: Path) -> Result:
    """Adds the same number of books to a large and to a small catalog. The small catalog is reset in each round."""
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

        def add_to_small() -> float:
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
            floor=add_to_small,
            bound=0.8,
            unit="items/s",
        )


COMPARISONS = {"tasks": compare_with_tasks, "bare": compare_with_bare_loop, "growth": compare_with_small_catalog}


def main(arguments: list[str]) -> None:
    for comparison in arguments or COMPARISONS:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
            save([COMPARISONS[comparison](Path(name))])


if __name__ == "__main__":
    run(main)

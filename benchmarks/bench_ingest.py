"""Ingest and projection: beside one task per item, beside a bare loop, and as the catalog grows.

`python -m benchmarks.bench_ingest` measures all three, with `tasks`, `bare` or `growth` behind it some.
"""

import shutil
import sys
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path

from bookwheel_processor.settings import ProcessorSettings

from benchmarks.bare_loop import written_again, written_by
from benchmarks.harness import Result, compare, save
from benchmarks.one_by_one import OneByOne
from benchmarks.processing import STREAM_ITEMS, Processor, redis_server
from benchmarks.scraped import scraped_books

ITEMS, ITEMS_ONE_BY_ONE = 10_000, 200
SMALL, LARGE, ADDED = 1_000, 100_000, 4_000


class Growing:
    """A processor at work, whose catalog each call adds books to that it does not have yet."""

    def __init__(self, processor: Processor, *, holds: int = 0) -> None:
        self._processor = processor
        self._holds = holds

    def add(self, items: int) -> float:
        """Items per second."""
        rate = self._processor.take_in(f"run-{self._holds}", scraped_books(self._holds, items))
        self._holds += items
        return rate


def beside_tasks(folder: Path) -> Result:
    rounds = count()
    with ExitStack() as stack:
        processor = Processor(folder / "ours", stack.enter_context(redis_server(folder / "redis")))
        stack.enter_context(processor.at_work())
        ours = Growing(processor)
        one_by_one = OneByOne(folder / "one-by-one", stack.enter_context(redis_server(folder / "redis-one-by-one")))
        stack.enter_context(one_by_one.at_work())
        return compare(
            "ingest and projection, or a task per item",
            ours=lambda: ours.add(ITEMS),
            floor=lambda: one_by_one.take_in(scraped_books(next(rounds) * ITEMS_ONE_BY_ONE, ITEMS_ONE_BY_ONE)),
            bound=20,
            unit="items/s",
            rounds=3,
        )


def beside_bare_loop(folder: Path) -> Result:
    """Both fill an empty catalog, ours after a thousand books that show its worker what to import and compile."""
    settings = ProcessorSettings()
    rounds = count()
    with ExitStack() as stack:
        redis_url = stack.enter_context(redis_server(folder / "redis"))
        processor = Processor(folder / "ours", redis_url)

        def taken_in() -> float:
            shutil.rmtree(processor.folder, ignore_errors=True)
            with processor.at_work():
                ours = Growing(processor)
                ours.add(SMALL)
                return ours.add(ITEMS)

        taken_in()
        written = written_by(processor.folder / "bookwheel.sqlite")

        def in_bare_loop() -> float:
            again = folder / f"bare-{next(rounds)}"
            try:
                return written_again(
                    written, again, transaction=settings.ingest_batch, commit=settings.projection_batch
                )
            finally:
                shutil.rmtree(again)

        return compare(
            "ingest and projection, or a bare loop", ours=taken_in, floor=in_bare_loop, bound=0.5, unit="items/s"
        )


def growth(folder: Path) -> Result:
    """The same number of books added to a large catalog and to a small one, which is put back after each round."""
    with ExitStack() as stack:
        small_redis = stack.enter_context(redis_server(folder / "redis-small"))
        template = Processor(folder / "template", small_redis)
        with template.at_work():
            Growing(template).add(SMALL)

        large = Processor(folder / "large", stack.enter_context(redis_server(folder / "redis-large")))
        stack.enter_context(large.at_work())
        grown = Growing(large)
        for _ in range(0, LARGE, STREAM_ITEMS):
            grown.add(STREAM_ITEMS)

        def added_to_small() -> float:
            small = Processor(folder / "small", small_redis)
            shutil.copytree(template.folder, small.folder)
            try:
                with small.at_work():
                    return Growing(small, holds=SMALL).add(ADDED)
            finally:
                shutil.rmtree(small.folder)

        return compare(
            f"ingest at {LARGE:,} books, or at {SMALL:,}",
            ours=lambda: grown.add(ADDED),
            floor=added_to_small,
            bound=0.8,
            unit="items/s",
        )


CLAIMS = {"tasks": beside_tasks, "bare": beside_bare_loop, "growth": growth}

if __name__ == "__main__":
    for wanted in sys.argv[1:] or CLAIMS:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
            save([CLAIMS[wanted](Path(name))])

"""Compares the embedded engines and the cluster engines as the catalog grows. There is no bound.

`python -m benchmarks.bench_engines 1000000` sets the size, `… embedded 1000000` selects one set of engines.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from bookwheel_stores.search import open_index_reader
from bookwheel_stores.search.queries import Filter, Range, SearchCriteria, SearchQuery, Sort
from bookwheel_stores.search.text import parse_text
from bookwheel_testing.engines import running_elasticsearch, running_postgres

from benchmarks.harness import result, run
from benchmarks.processor_service import Processor, redis_server
from benchmarks.results import Result, save
from benchmarks.sample_items import scraped_books

SIZES = (1_000, 10_000, 100_000)
FACETS = ("category", "rating", "price")
SEARCHES = 300
EMBEDDED, CLUSTER = "embedded", "cluster"


@dataclass(frozen=True, slots=True)
class Figures:
    """`ingest`: items/s from the stream into the index. `searches`: searches/s of one reader. `p50`: in ms."""

    ingest: float
    searches: float
    p50: float


def measure(processor: Processor, size: int) -> Figures:
    """Fills a new catalog with `size` books, then searches it."""
    ingest = processor.fill(size)
    reader = open_index_reader(processor.search_url)
    reader.reload()
    books = reader.count(SearchCriteria())
    if books != size:
        raise RuntimeError(f"{books} books in an index of {size}")
    words = sorted({word for book in scraped_books(0, 200) for word in str(book.payload["title"]).split()})
    numbers = count()
    durations = []
    for _ in range(SEARCHES):
        number = next(numbers)
        stock_filter = Filter("stock", ranges=(Range(0, number + 100),))
        criteria = SearchCriteria(parse_text(words[number % len(words)]), (stock_filter,))
        started = time.perf_counter()
        reader.search(SearchQuery(criteria, Sort.RELEVANCE, 20, facets=FACETS))
        durations.append(time.perf_counter() - started)
    return Figures(ingest, len(durations) / sum(durations), statistics.median(durations) * 1000)


@contextmanager
def embedded(folder: Path) -> Iterator[Processor]:
    with redis_server(folder / "redis") as redis:
        yield Processor(folder, redis)


@contextmanager
def cluster(folder: Path) -> Iterator[Processor]:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folder / "redis"))
        postgres = stack.enter_context(running_postgres(durable=True))
        database = stack.enter_context(postgres.database())
        url, _ = stack.enter_context(running_elasticsearch())
        yield Processor(folder, redis, database, url.replace("http://", "elasticsearch://"))


ENGINES = {EMBEDDED: embedded, CLUSTER: cluster}


def compare_engines(folder: Path, size: int, engines: list[str]) -> list[Result]:
    figures_by_engine = {}
    for name in engines:
        with ENGINES[name](folder / f"{name}-{size}") as processor:
            figures = figures_by_engine[name] = measure(processor, size)
        print(
            f"{name:<10} {size:>9,} books: {figures.ingest:>8,.0f} items/s, {figures.searches:>7,.0f} searches/s,"
            f" p50 {figures.p50:.2f} ms",
            flush=True,
        )
    if len(figures_by_engine) < len(ENGINES):
        return []
    ours, floor = figures_by_engine[CLUSTER], figures_by_engine[EMBEDDED]
    return [
        result(f"ingest, cluster or embedded, {size:,}", [ours.ingest], [floor.ingest], bound=0, unit="items/s"),
        result(
            f"faceted search, cluster or embedded, {size:,}",
            [ours.searches],
            [floor.searches],
            bound=0,
            unit="searches/s",
        ),
    ]


def main(arguments: list[str]) -> None:
    engines = [name for name in ENGINES if name in arguments] or list(ENGINES)
    sizes = [int(argument) for argument in arguments if argument.isdigit()] or list(SIZES)
    with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name:
        save([entry for size in sizes for entry in compare_engines(Path(name), size, engines)])


if __name__ == "__main__":
    run(main)

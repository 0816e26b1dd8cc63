"""Searches while the index is built anew, beside the same searches while nothing else happens, on both engines.

`python -m benchmarks.bench_reindex embedded`, or `… elasticsearch`, measures one, a number behind it the size of the
catalog. A search that fails ends the benchmark.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
from bookwheel_testing.engines import running_elasticsearch
from bookwheel_testing.search import elasticsearch_url
from bookwheel_testing.servers import start

from benchmarks.catalog_server import NUMBERS, Catalog, running_catalog, words
from benchmarks.harness import Result, result, save
from benchmarks.processing import PROCESSOR, Processor, redis_server

BOOKS, ROUNDS = 100_000, 3
STEADY_SECONDS, PAUSE = 15.0, 0.02
EMBEDDED, ELASTICSEARCH = "embedded", "elasticsearch"


def p95_rate(catalog: Catalog, goes_on: Callable[[], bool]) -> float:
    """One over the p95 of the time of uncached searches, one after the other. Raises where one fails."""
    known, taken = words(), []
    with httpx.Client(base_url=catalog.url, headers=catalog.headers, timeout=30) as client:
        while goes_on():
            number = next(NUMBERS)
            query = {"q": known[number % len(known)], "filter": f"stock:0..{number}", "facet": "category"}
            began = time.perf_counter()
            client.get("/api/v1/books", params=query).raise_for_status()
            taken.append(time.perf_counter() - began)
            time.sleep(PAUSE)
    p50, p95 = (sorted(taken)[int(len(taken) * share)] * 1000 for share in (0.5, 0.95))
    print(f"  {len(taken)} searches, p50 {p50:.1f} ms, p95 {p95:.1f} ms", flush=True)
    return 1000 / p95


def beside_a_build(engine: str, processor: Processor, catalog: Catalog, books: int) -> Result:
    def steady() -> float:
        end = time.monotonic() + STEADY_SECONDS
        return p95_rate(catalog, lambda: time.monotonic() < end)

    def rebuilding() -> float:
        log = processor.folder / f"reindex-{next(NUMBERS)}.log"
        build = start([PROCESSOR, "reindex"], log=log, environment=processor.environment)
        try:
            rate = p95_rate(catalog, lambda: build.process.poll() is None)
        finally:
            build.stop()
        if build.process.returncode != 0 or f"{books} books indexed" not in log.read_text():
            raise RuntimeError(f"no index was built: {log.read_text()}")
        return rate

    steady()
    pairs = [(rebuilding(), steady()) for _ in range(ROUNDS)]
    name = f"search p95 in a reindex or not, {engine}"
    return result(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], bound=1 / 1.5, unit="1/p95 s")


def main(arguments: list[str]) -> None:
    books = next((int(each) for each in arguments if each.isdigit()), BOOKS)
    for engine in [each for each in arguments if not each.isdigit()] or [EMBEDDED, ELASTICSEARCH]:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name, ExitStack() as stack:
            folder, index = Path(name), None
            if engine == ELASTICSEARCH:
                server, _ = stack.enter_context(running_elasticsearch())
                index = stack.enter_context(elasticsearch_url(server))
            processor = Processor(folder, stack.enter_context(redis_server(folder / "redis")), index=index)
            processor.fill(books)
            catalog = stack.enter_context(running_catalog(processor))
            save([beside_a_build(engine, processor, catalog, books)])


if __name__ == "__main__":
    main(sys.argv[1:])

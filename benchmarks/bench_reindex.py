"""Searches during an index build, compared with the same searches without it, on both engines.

`python -m benchmarks.bench_reindex embedded` or `… elasticsearch` measures one engine. A number sets the size of the
catalog. A failed search ends the benchmark.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
from bookwheel_testing.engines import running_elasticsearch
from bookwheel_testing.search import elasticsearch_url
from bookwheel_testing.servers import start

from benchmarks.catalog_service import NUMBERS, Catalog, running_catalog, search_words
from benchmarks.harness import result, run
from benchmarks.processor_service import PROCESSOR, Processor, redis_server
from benchmarks.results import Result, save

BOOKS, ROUNDS = 100_000, 3
STEADY_SECONDS, PAUSE = 15.0, 0.02
EMBEDDED, ELASTICSEARCH = "embedded", "elasticsearch"


def p95_rate(catalog: Catalog, is_running: Callable[[], bool]) -> float:
    """Returns 1 / p95 of sequential uncached searches. Raises HTTPStatusError if a search fails."""
    words: list[str] = search_words()
    durations = []
    with httpx.Client(base_url=catalog.url, headers=catalog.headers, timeout=30) as client:
        while is_running():
            number = next(NUMBERS)
            query = {"q": words[number % len(words)], "filter": f"stock:0..{number}", "facet": "category"}
            started = time.perf_counter()
            client.get("/api/v1/books", params=query).raise_for_status()
            durations.append(time.perf_counter() - started)
            time.sleep(PAUSE)
    p50, p95 = (sorted(durations)[int(len(durations) * share)] * 1000 for share in (0.5, 0.95))
    print(f"  {len(durations)} searches, p50 {p50:.1f} ms, p95 {p95:.1f} ms", flush=True)
    return 1000 / p95


def compare_with_rebuild(engine: str, processor: Processor, catalog: Catalog, books: int) -> Result:
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
            raise RuntimeError(f"the index was not rebuilt: {log.read_text()}")
        return rate

    steady()
    pairs = [(rebuilding(), steady()) for _ in range(ROUNDS)]
    name = f"search p95 in a reindex or not, {engine}"
    return result(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], bound=1 / 1.5, unit="1/p95 s")


def main(arguments: list[str]) -> None:
    books = next((int(argument) for argument in arguments if argument.isdigit()), BOOKS)
    for engine in [argument for argument in arguments if not argument.isdigit()] or [EMBEDDED, ELASTICSEARCH]:
        with tempfile.TemporaryDirectory(prefix="bookwheel-bench-") as name, ExitStack() as stack:
            folder, index = Path(name), None
            if engine == ELASTICSEARCH:
                server, _ = stack.enter_context(running_elasticsearch())
                index = stack.enter_context(elasticsearch_url(server))
            processor = Processor(folder, stack.enter_context(redis_server(folder / "redis")), index=index)
            processor.fill(books)
            catalog = stack.enter_context(running_catalog(processor))
            save([compare_with_rebuild(engine, processor, catalog, books)])


if __name__ == "__main__":
    run(main)

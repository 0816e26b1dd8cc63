"""A real Celery worker and scheduler: items reach the index, also after SIGKILLs."""

import random
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import CrawlRun, RunState
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_runtime.healthcheck import fetch_health, get_health_error
from bookwheel_stores.records import BookReader, RunStore, connect_database
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.search import open_index_writer
from bookwheel_stores.streams import StreamWriter, connect_redis
from bookwheel_testing.servers import Server, free_port, running, start, wait_until
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Engine

PROGRAM = Path(sys.executable).with_name("bookwheel-processor")


class Suite:
    def __init__(self, folder: Path, redis_url: str, records_url: str | None = None) -> None:
        self.folder = folder
        self.environment = {
            "BOOKWHEEL_DATABASE_URL": records_url or f"sqlite:///{folder / 'bookwheel.sqlite'}",
            "BOOKWHEEL_SEARCH_URL": f"tantivy://{folder / 'index'}",
            "BOOKWHEEL_REDIS_URL": redis_url,
            "BOOKWHEEL_STATE_DIR": str(folder),
            "BOOKWHEEL_INGEST_BATCH": "100",
            "BOOKWHEEL_PROJECTION_BATCH": "300",
        }
        self.worker_port, self.beat_port = free_port(), free_port()
        self.redis = connect_redis(redis_url)
        self.engine: Engine = connect_database(self.environment["BOOKWHEEL_DATABASE_URL"])

    def with_port(self, port: int) -> dict[str, str]:
        return self.environment | {"BOOKWHEEL_METRICS_PORT": str(port)}

    def metric(self, port: int, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(fetch_health(port, "/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return sum(sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))

    def run(self, *arguments: str) -> tuple[int, str]:
        log = self.folder / f"{arguments[0]}.log"
        log.unlink(missing_ok=True)
        server = start([str(PROGRAM), *arguments], log=log, environment=self.with_port(self.worker_port))
        return server.process.wait(120), log.read_text()

    def worker(self) -> Server:
        environment = self.with_port(self.worker_port)
        return start([str(PROGRAM), "worker"], log=self.folder / "worker.log", environment=environment)

    def crawl(self, run_id: str) -> CrawlRun | None:
        return RunStore(self.engine).get(run_id)

    def is_searchable(self, run_id: str) -> bool:
        run = self.crawl(run_id)
        return run is not None and run.searchable

    def holds(self, books: int) -> bool:
        return BookReader(self.engine).count() >= books

    def publish(self, *messages: Any) -> None:
        StreamWriter(self.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])


@pytest.fixture
def suite(tmp_path: Path, redis_url: str, records_url: str) -> Iterator[Suite]:
    suite = Suite(tmp_path, redis_url, records_url)
    assert suite.run("migrate")[0] == 0
    beat = [str(PROGRAM), "beat"]
    with running(beat, log=tmp_path / "beat.log", ready=lambda: True, environment=suite.with_port(suite.beat_port)):
        yield suite
    suite.engine.dispose()
    suite.redis.close()


def test_a_crawl_becomes_searchable_and_one_trace_is_in_the_log(suite: Suite, scraped: Any) -> None:
    worker = suite.worker()
    try:
        wait_until(
            lambda: get_health_error(suite.worker_port, "/readyz") is None,
            seconds=120,
            what="readiness of the worker",
        )
        suite.publish(scraped.started(), *(scraped.item(n) for n in range(1, 501)), scraped.finished(scraped=500))
        wait_until(lambda: suite.is_searchable("run-1"), seconds=60, what="a searchable run")
        assert suite.run("health")[0] == 0
        suite.publish(scraped.item(1, run="run-2", title=None), scraped.finished("run-2", scraped=1))
        wait_until(lambda: QuarantineStore(suite.engine).count() == 1, seconds=30, what="the quarantine")
        worker_metric, suite_metric = partial(suite.metric, suite.worker_port), partial(suite.metric, suite.beat_port)
        for verdict, count in (("added", 500), ("quarantined", 1)):
            wait_until(  # the metric follows the commit
                lambda verdict=verdict, count=count: (
                    worker_metric("bookwheel_ingested_items_total", verdict=verdict)  # type: ignore[misc]
                    == count
                ),
                seconds=10,
                what=f"{count} {verdict}",
            )
            assert suite_metric("bookwheel_items", verdict=verdict) == count
        assert worker_metric("bookwheel_tasks_total", task="bookwheel.processor.ingest", outcome="succeeded") >= 1
        assert suite_metric("bookwheel_projection_lag_seconds", projection="search") == 0
        assert suite_metric("bookwheel_store_up", store="records") == 1
        wait_until(
            lambda: suite_metric("bookwheel_replicas_ready", service="processor-worker") == 1,
            seconds=15,
            what="the worker's heartbeat",
        )
        log = (suite.folder / "worker.log").read_text()
    finally:
        worker.stop()
    assert '"trace_id":"0af7651916cd43dd8448eb211c80319c"' in log
    assert "Traceback" not in log
    status, listed = suite.run("quarantine")
    assert status == 0
    assert "title: is missing (missing)" in listed
    assert "1 still rejected" in suite.run("replay", "--all")[1]
    assert "500 books indexed" in suite.run("reindex")[1]
    assert suite.run("compare") == (0, "500 books compared, 0 differed, 0 repaired\n")


def test_kills_lose_nothing_and_count_nothing_twice(suite: Suite, scraped: Any) -> None:
    generator = random.Random(7)
    items = 4000
    suite.publish(scraped.started(), *(scraped.item(n) for n in range(1, items + 1)), scraped.finished(scraped=items))
    for _ in range(2):
        before = len(BookReader(suite.engine).page(after_number=0, limit=items))
        worker = suite.worker()
        goal = min(items, before + generator.randrange(1, 1000))
        try:
            wait_until(partial(suite.holds, goal), seconds=120, what="some books")
        finally:
            worker.kill()
    worker = suite.worker()
    try:
        wait_until(lambda: suite.is_searchable("run-1"), seconds=120, what="a searchable run")
    finally:
        worker.stop()
    run = suite.crawl("run-1")
    assert run is not None
    assert run.state is RunState.COMPLETE
    assert (run.counts.scraped, run.counts.added, run.counts.quarantined) == (items, items, 0)
    assert BookReader(suite.engine).count() == items
    with open_index_writer(suite.environment["BOOKWHEEL_SEARCH_URL"]) as index:
        assert index.count() == items


def test_a_worker_rejects_a_database_that_was_not_migrated(tmp_path: Path, redis_url: str) -> None:
    suite = Suite(tmp_path, redis_url)
    status, output = suite.run("worker")
    assert status == 3
    assert "are at revision none" in output
    status, output = suite.run("health")
    assert status == 1
    assert "does not answer" in output
    suite.engine.dispose()
    suite.redis.close()


def test_a_wrong_setting_is_named(tmp_path: Path, redis_url: str) -> None:
    suite = Suite(tmp_path, redis_url)
    suite.environment["BOOKWHEEL_INGEST_BATCH"] = "0"
    status, output = suite.run("worker")
    assert status == 2
    assert "BOOKWHEEL_INGEST_BATCH" in output
    suite.engine.dispose()
    suite.redis.close()


def test_an_invalid_option_is_reported(tmp_path: Path, redis_url: str) -> None:
    suite = Suite(tmp_path, redis_url)
    for verb, option in (("quarantine", "--limit"), ("replay", "--id"), ("worker", "--concurrency")):
        for number in ("-1", "0", "99999999999999999999", "x"):
            status, output = suite.run(verb, option, number)
            assert (status, "Traceback" in output) == (2, False)
            assert option in output
    suite.engine.dispose()
    suite.redis.close()


@pytest.mark.parametrize("arguments", [("reindex",), ("compare",), ("replay", "--all")])
def test_a_command_reports_an_unavailable_store(tmp_path: Path, redis_url: str, arguments: tuple[str, ...]) -> None:
    suite = Suite(tmp_path, redis_url)
    assert suite.run("migrate")[0] == 0
    suite.environment["BOOKWHEEL_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    status, output = suite.run(*arguments)
    assert status == 3
    assert "a store is unavailable: " in output
    assert "Traceback" not in output
    suite.engine.dispose()
    suite.redis.close()

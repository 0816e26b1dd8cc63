"""Health and metrics of the worker and the scheduler during failures."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_runtime.healthcheck import fetch_health, get_health_error
from bookwheel_stores.records import connect_database, upgrade_database
from bookwheel_stores.streams import StreamWriter, connect_redis
from bookwheel_testing.servers import free_port, running, start, wait_until
from prometheus_client.parser import text_string_to_metric_families

PROGRAM = str(Path(sys.executable).with_name("bookwheel-processor"))
STALLED_AFTER = 20.0


class Replica:
    """A program with its own folder, as in a container, and its own port."""

    def __init__(self, folder: Path, verb: str, environment: dict[str, str]) -> None:
        folder.mkdir()
        self.port = free_port()
        self.command = [PROGRAM, verb, *(["--concurrency", "2"] if verb == "worker" else [])]
        self.log = folder / "log"
        self.environment = environment | {
            "BOOKWHEEL_STATE_DIR": str(folder),
            "BOOKWHEEL_METRICS_PORT": str(self.port),
            "BOOKWHEEL_STALLED_AFTER": str(STALLED_AFTER),
        }

    def health_error(self, path: str = "/readyz") -> str | None:
        return get_health_error(self.port, path)

    def metrics(self) -> dict[str, float]:
        families = text_string_to_metric_families(fetch_health(self.port, "/metrics")[1])
        samples = [sample for family in families for sample in family.samples]
        return {"/".join((sample.name, *sample.labels.values())): sample.value for sample in samples}

    def start(self) -> None:
        self.server = start(self.command, log=self.log, environment=self.environment)

    def is_ready(self) -> bool:
        assert self.server.process.poll() is None, self.log.read_text()[-2000:]
        return self.health_error() is None


@pytest.fixture
def replicas(tmp_path: Path, records_url: str, redis_url: str) -> Iterator[list[Replica]]:
    """A running scheduler and two running workers."""
    engine = connect_database(records_url)
    upgrade_database(engine)
    engine.dispose()
    environment = {
        "BOOKWHEEL_DATABASE_URL": records_url,
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{tmp_path / 'index'}",
        "BOOKWHEEL_REDIS_URL": redis_url,
    }
    verbs = {"scheduler": "beat", "first": "worker", "second": "worker"}
    replicas = [Replica(tmp_path / name, verb, environment) for name, verb in verbs.items()]
    for replica in replicas:
        replica.start()
    try:
        for replica in replicas:
            wait_until(replica.is_ready, seconds=120, what="readiness")
        yield replicas
    finally:
        for replica in replicas:
            replica.server.stop()


@pytest.mark.parametrize("records_url", ["postgresql"], indirect=True)  # nothing is ingested: one engine is enough
def test_only_the_stalled_worker_is_unhealthy(replicas: list[Replica]) -> None:
    _, stalled, other = replicas
    parent = stalled.server.process.pid
    children = [int(text) for text in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    for child in children:  # the parent still receives messages, but no child executes them
        os.kill(child, signal.SIGSTOP)
    try:
        wait_until(lambda: stalled.health_error("/readyz") is not None, seconds=60, what="a stalled worker")
        wait_until(lambda: "restarting" in stalled.log.read_text(), seconds=20, what="its own restart")
        assert other.health_error("/livez") is None
        assert other.health_error("/readyz") is None
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def test_lag_and_age_grow_while_no_worker_runs_and_fall_again(
    replicas: list[Replica], redis_url: str, scraped: Any
) -> None:
    beat, *workers = replicas
    for worker in workers:
        worker.server.kill()
    redis = connect_redis(redis_url)
    StreamWriter(redis, RAW_STREAM).publish([scraped.item(n).model_dump_json() for n in range(1, 31)])
    lag = "bookwheel_stream_lag_entries/processor/bookwheel:raw"
    age = "bookwheel_stream_oldest_entry_age_seconds/processor/bookwheel:raw"
    assert beat.metrics()[lag] == 30
    first = beat.metrics()[age]
    wait_until(lambda: beat.metrics()[age] > first + 0.5, seconds=20, what="an older entry")
    redis.close()
    workers[0].start()
    wait_until(lambda: beat.metrics()[lag] == 0, seconds=120, what="an empty stream")
    assert beat.metrics()[age] == 0
    freshness = "bookwheel_projection_lag_seconds/search"
    wait_until(lambda: beat.metrics()[freshness] == 0, seconds=60, what="a current index")
    assert beat.metrics()["bookwheel_items/added"] == 30


def test_the_scheduler_reports_the_unavailable_store(tmp_path: Path, redis_url: str) -> None:
    unavailable = "postgresql+psycopg://nobody@127.0.0.1:9/none"
    environment = {"BOOKWHEEL_DATABASE_URL": unavailable, "BOOKWHEEL_REDIS_URL": redis_url}
    beat = Replica(tmp_path / "beat", "beat", environment)
    with running(
        beat.command, log=beat.log, ready=lambda: beat.health_error() is None, seconds=120, environment=beat.environment
    ):
        metrics = beat.metrics()
        assert (metrics["bookwheel_store_up/records"], metrics["bookwheel_store_up/redis"]) == (0, 1)
        assert not [name for name in metrics if name.startswith("bookwheel_items")]
        assert "bookwheel_stream_lag_entries/processor/bookwheel:raw" in metrics

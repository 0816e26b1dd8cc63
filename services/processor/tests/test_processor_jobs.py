"""The jobs of a worker with a real Redis, database and search index."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from bookwheel_contracts import RunState
from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM, GENERATION_KEY, PREDICTION_STREAM, RAW_STREAM, run_key
from bookwheel_processor.replay import Replay
from bookwheel_processor.worker import consumer
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest
from bookwheel_processor.worker.jobs import run_predictions, run_projection, run_sweep
from bookwheel_processor.worker.process_lock import process_lock
from bookwheel_processor.worker.watchdog import Watchdog
from bookwheel_stores.records import (
    BookReader,
    ChangeFeed,
    PredictionStore,
    RunStore,
    supports_concurrent_writers,
)
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.streams import StreamWriter, connect_redis
from bookwheel_testing.record_fixtures import rejecting_inserts
from bookwheel_testing.sample_books import prediction
from bookwheel_testing.servers import wait_until
from sqlalchemy.exc import OperationalError


@pytest.fixture
def database_url(records_url: str) -> str:
    return records_url


@pytest.fixture
def job_settings() -> dict[str, Any]:
    return {"ingest_batch": 50, "projection_batch": 40}


def indexed(dependencies: Dependencies) -> int:
    with dependencies.open_index() as index:
        return index.count()


def test_published_items_become_searchable(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any, triggers: list[str]
) -> None:
    publish(scraped.started(), *(scraped.item(n) for n in range(1, 121)), scraped.finished(scraped=120))
    assert run_ingest(dependencies) == 122
    assert dependencies.reader(RAW_STREAM).backlog() == 0
    assert set(triggers) == {"project"}
    assert dependencies.progress.age() is not None
    generation = dependencies.projection.generation.current()
    assert run_projection(dependencies) == 120
    assert indexed(dependencies) == 120
    assert dependencies.projection.generation.current() > generation
    run = RunStore(dependencies.engine).get("run-1")
    assert run is not None
    assert run.searchable
    assert run_projection(dependencies) == 0


@pytest.mark.parametrize("more", [False, True])
def test_a_generation_that_redis_lost_is_not_reused(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any, more: bool
) -> None:
    """Otherwise a cached response of an older generation would count as current."""
    generation, generations = dependencies.projection.generation, []
    for number in (1, 2):
        publish(scraped.item(number))
        run_ingest(dependencies)
        run_projection(dependencies)
        generations.append(generation.current())
    dependencies.redis.set(GENERATION_KEY, generations[0])  # Redis lost the later one
    if more:
        publish(scraped.item(3))
        run_ingest(dependencies)
    run_projection(dependencies)
    current = generation.current()
    assert current > generations[1]
    run_projection(dependencies)
    assert generation.current() == current


def test_a_book_that_moved_leaves_the_index(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.item(1), scraped.item(2))
    run_ingest(dependencies)
    run_projection(dependencies)
    publish(scraped.item(1, run="run-2", minute=1, isbn="0306406152"), scraped.item(2, run="run-2", isbn="0306406152"))
    run_ingest(dependencies)
    run_projection(dependencies)
    assert BookReader(dependencies.engine).count() == indexed(dependencies) == 1


def test_only_one_worker_of_a_machine_runs_a_job(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.item(1))
    dependencies = replace(dependencies, settings=dependencies.settings.model_copy(update={"ingest_workers": 1}))
    with process_lock(dependencies.lock_folder, "ingest") as acquired:
        assert acquired
        assert run_ingest(dependencies) == 0
    assert run_ingest(dependencies) == 1
    with process_lock(dependencies.lock_folder, "project") as acquired:
        assert acquired
        assert run_projection(dependencies) == 0
    assert run_projection(dependencies) == 1


def test_an_index_in_use_is_left_to_its_holder(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.item(1))
    run_ingest(dependencies)
    with dependencies.open_index():
        assert run_projection(dependencies) == 0
        run_sweep(dependencies)
    assert run_projection(dependencies) == 1


def test_batches_are_retried_while_the_database_fails(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "_FIRST_PAUSE_SECONDS", 0.001)
    publish(scraped.item(1), scraped.finished(scraped=1))
    with rejecting_inserts(dependencies.engine, "book"):
        for _ in range(8):  # more than MAX_DELIVERIES
            with pytest.raises(OperationalError):
                run_ingest(dependencies)
    assert run_ingest(dependencies) == 2
    assert QuarantineStore(dependencies.engine).count() == 0
    run = RunStore(dependencies.engine).get("run-1")
    assert run is not None
    assert run.state is RunState.COMPLETE


def test_a_projection_that_died_before_its_cursor_moved_is_repeated(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(*(scraped.item(n) for n in range(1, 31)))
    run_ingest(dependencies)

    def die(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patch:
        patch.setattr(ChangeFeed, "advance", die)
        with pytest.raises(ConnectionError):
            run_projection(dependencies)
    assert ChangeFeed(dependencies.engine).cursor("search") == 0
    assert run_projection(dependencies) == 30
    assert indexed(dependencies) == 30


def test_while_more_changes_are_expected_one_commit_has_all_of_them(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(*(scraped.item(n) for n in range(1, 6)))
    run_ingest(dependencies)
    calls = 0

    def more_expected() -> bool:
        nonlocal calls
        calls += 1
        if calls == 2:
            publish(*(scraped.item(n) for n in range(6, 31)), scraped.item(1, run="run-2", minute=1, price="£2"))
            run_ingest(dependencies)
        return calls < 4

    with dependencies.open_index() as index:
        assert dependencies.projection.step(index, more_expected=more_expected) == 31
        assert index.count() == 30
        assert dependencies.projection.step(index, more_expected=lambda: True) == 0, "an empty feed returns at once"
    assert ChangeFeed(dependencies.engine).cursor("search") == 31


def test_full_batches_trigger_the_projection_now_and_then(
    dependencies: Dependencies,
    publish: Callable[..., None],
    scraped: Any,
    triggers: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bookwheel_processor.worker.ingest_job._TRIGGER_INTERVAL_SECONDS", 60.0)
    publish(*(scraped.item(n) for n in range(1, 1001)))
    ingested = 0
    while batch := run_ingest(dependencies):  # a job ends after some seconds, also if entries are left
        ingested += batch
    assert ingested == 1000
    assert 2 <= triggers.count("project") < 20, "at the first batch and at the end"
    before = triggers.count("project")
    publish(scraped.item(1001))
    run_ingest(dependencies)
    assert triggers.count("project") == before + 1


def test_a_run_that_redis_lost_finishes_with_its_items_until_its_end_arrives(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    def state(run_id: str) -> str:
        run = RunStore(dependencies.engine).get(run_id)
        assert run is not None
        return run.state

    dependencies = replace(dependencies, settings=dependencies.settings.model_copy(update={"settle_after": 0.01}))
    waiting, forgotten = (
        CrawlRequest(
            run_id=run_id,
            source="shop",
            start_url=None,
            requested_at=scraped.item(1).scraped_at,
            requested_by="me",
            traceparent="",
        )
        for run_id in ("waiting", "forgotten")
    )
    for request in (waiting, forgotten):
        RunStore(dependencies.engine).create_requested(request)
    StreamWriter(dependencies.redis, CRAWL_STREAM).publish(["no request", waiting.model_dump_json()])
    publish(scraped.started(), scraped.item(1))
    publish(scraped.started("run-2"), scraped.item(1, run="run-2", key="upc-2"))
    dependencies.redis.hset(run_key("run-2"), "published", 1)
    run_ingest(dependencies)
    time.sleep(0.02)
    run_sweep(dependencies)
    assert [state(run_id) for run_id in ("run-1", "run-2", "waiting", "forgotten")] == [
        "partial",
        "running",
        "queued",
        "failed",
    ]
    run = RunStore(dependencies.engine).get("run-1")
    assert run is not None
    assert (run.counts.scraped, run.reason) == (1, "Redis lost the crawl and its finish message")
    publish(scraped.item(2, key="upc-3"), scraped.finished(scraped=2))
    run_ingest(dependencies)
    assert state("run-1") == "complete"


def test_a_lost_index_is_rebuilt(dependencies: Dependencies, publish: Callable[..., None], scraped: Any) -> None:
    publish(*(scraped.item(n) for n in range(1, 91)))
    run_ingest(dependencies)
    run_projection(dependencies)
    with dependencies.open_index() as index:
        index.clear()
    assert run_projection(dependencies) == 0
    run_sweep(dependencies)
    assert indexed(dependencies) == 90


def test_the_sweep_deletes_predictions_after_their_retention(dependencies: Dependencies) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    days = dependencies.settings.prediction_days
    recent = prediction(prediction_id="recent", predicted_at=now - timedelta(days=days - 1))
    expired = prediction(prediction_id="expired", predicted_at=now - timedelta(days=days + 1))
    store = PredictionStore(dependencies.engine)
    store.write([expired, recent])
    run_sweep(dependencies)
    assert store.recent(9) == [recent]


def test_predictions_are_stored_once_and_invalid_ones_quarantined(dependencies: Dependencies, scraped: Any) -> None:
    record = prediction()
    StreamWriter(dependencies.redis, PREDICTION_STREAM).publish([record.model_dump_json()] * 2 + ["?"])
    assert run_predictions(dependencies) == 3
    assert PredictionStore(dependencies.engine).recent(9) == [record]
    [entry] = QuarantineStore(dependencies.engine).list_open(limit=9)
    assert entry.reasons[0].code == "invalid_prediction"


def test_the_watchdog_restarts_a_stalled_worker_only(dependencies: Dependencies) -> None:
    calls: list[str] = []

    def record_progress() -> None:
        calls.append("trigger")
        dependencies.progress.record()

    def create_watchdog(trigger: Callable[[], None]) -> Watchdog:
        return Watchdog(
            dependencies.progress,
            dependencies.redis,
            stalled_after=0.4,
            trigger=trigger,
            restart=lambda: calls.append("restart"),
        )

    active = create_watchdog(record_progress)
    active.start()
    wait_until(lambda: calls.count("trigger") >= 3, seconds=10, what="three triggers")
    assert active.liveness_error() is None
    assert active.readiness_error() is None
    active.stop()
    active.join(5)
    assert "restart" not in calls
    stalled = create_watchdog(lambda: None)
    stalled.start()
    wait_until(lambda: "restart" in calls, seconds=10, what="a restart")
    stalled.join(5)
    assert "no progress for" in str(stalled.liveness_error())


def test_no_worker_is_restarted_while_redis_is_unavailable(dependencies: Dependencies) -> None:
    calls: list[str] = []
    unavailable = connect_redis("redis://127.0.0.1:9/0")
    watchdog = Watchdog(
        dependencies.progress,
        unavailable,
        stalled_after=0.4,
        trigger=lambda: None,
        restart=lambda: calls.append("restart"),
    )
    watchdog.start()
    time.sleep(1.5)
    assert calls == []
    assert watchdog.liveness_error() is None
    assert "Redis is unavailable" in str(watchdog.readiness_error())
    watchdog.stop()
    watchdog.join(5)


def test_ingest_jobs_per_machine_match_the_database_s_writers(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.item(1))
    # Another process runs the job, with an entry that is pending.
    with process_lock(dependencies.lock_folder, "ingest"):
        [pending] = dependencies.reader(RAW_STREAM).read(1)
        publish(scraped.item(2))
        is_concurrent = supports_concurrent_writers(dependencies.engine)
        assert run_ingest(dependencies) == int(is_concurrent), "the entry of the other process stays pending"
        with process_lock(dependencies.lock_folder, "ingest-1"):
            assert run_ingest(dependencies) == 0
    assert run_ingest(dependencies) == 2 - int(is_concurrent)
    assert pending.deliveries == 1
    assert BookReader(dependencies.engine).count() == 2


def test_an_entry_that_the_database_rejects_is_quarantined_without_the_others(
    dependencies: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.started(), *(scraped.item(n) for n in range(1, 41)), scraped.finished(scraped=40))
    with rejecting_inserts(dependencies.engine, "book", title="Book 13"):
        assert run_ingest(dependencies) == 42
    [entry] = QuarantineStore(dependencies.engine).list_open(limit=9)
    assert (entry.run_id, entry.reasons[0].code) == ("run-1", "refused_by_database")
    run = RunStore(dependencies.engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.quarantined) == (RunState.COMPLETE, 39, 1)
    Replay(dependencies.engine).replay_all()
    assert BookReader(dependencies.engine).count() == 40

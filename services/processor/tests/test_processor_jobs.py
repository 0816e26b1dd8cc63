"""The rounds of a worker over a real Redis, SQLite and search index."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import RunState
from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM, GENERATION_KEY, PREDICTION_STREAM, RAW_STREAM, run_key
from bookwheel_processor.app import create_parts
from bookwheel_processor.ingest.replay import Replay
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker import consumer as draining
from bookwheel_processor.worker.jobs import Dependencies, ingest_round, predictions_round, project_round, sweep_round
from bookwheel_processor.worker.process_lock import slot
from bookwheel_processor.worker.watchdog import Watchdog
from bookwheel_stores.records import (
    BookReader,
    ChangeFeed,
    PredictionStore,
    RunStore,
    supports_concurrent_writers,
    upgrade_database,
)
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.streams import StreamWriter, connect_redis
from bookwheel_testing.books import prediction
from bookwheel_testing.records import refusing
from bookwheel_testing.servers import wait_until
from celery import Celery
from sqlalchemy.exc import OperationalError


@pytest.fixture
def nudges() -> list[str]:
    return []


@pytest.fixture
def parts(tmp_path: Path, records_url: str, redis_url: str, nudges: list[str]) -> Iterator[Dependencies]:
    settings = ProcessorSettings(
        database_url=records_url,
        search_url=f"tantivy://{tmp_path / 'index'}",
        redis_url=redis_url,
        state_dir=tmp_path,
        ingest_batch=50,
        projection_batch=40,
    )
    made = create_parts(settings, Celery(broker=redis_url))
    upgrade_database(made.engine)
    yield replace(made, nudge_ingest=lambda: nudges.append("ingest"), nudge_project=lambda: nudges.append("project"))
    made.engine.dispose()
    made.redis.close()


@pytest.fixture
def publish(parts: Dependencies) -> Callable[..., None]:
    def publish(*messages: Any) -> None:
        StreamWriter(parts.redis, RAW_STREAM).publish([message.model_dump_json() for message in messages])

    return publish


def indexed(parts: Dependencies) -> int:
    with parts.open_index() as index:
        return index.count()


def test_what_is_published_becomes_searchable(
    parts: Dependencies, publish: Callable[..., None], scraped: Any, nudges: list[str]
) -> None:
    publish(scraped.started(), *(scraped.item(n) for n in range(1, 121)), scraped.finished(scraped=120))
    assert ingest_round(parts) == 122
    assert parts.reader(RAW_STREAM).backlog() == 0
    assert set(nudges) == {"project"}
    assert parts.progress.age() is not None
    generation = parts.projection.generation.current()
    assert project_round(parts) == 120
    assert indexed(parts) == 120
    assert parts.projection.generation.current() > generation
    run = RunStore(parts.engine).get("run-1")
    assert run is not None
    assert run.searchable
    assert project_round(parts) == 0


@pytest.mark.parametrize("more", [False, True])
def test_a_generation_that_redis_lost_is_not_taken_for_another(
    parts: Dependencies, publish: Callable[..., None], scraped: Any, more: bool
) -> None:
    """Neither are older answers taken for current, nor is an index that changed taken for one that was seen."""
    generation, seen = parts.projection.generation, []
    for number in (1, 2):
        publish(scraped.item(number))
        ingest_round(parts)
        project_round(parts)
        seen.append(generation.current())
    parts.redis.set(GENERATION_KEY, seen[0])  # the last that had reached the disk
    if more:
        publish(scraped.item(3))
        ingest_round(parts)
    project_round(parts)
    current = generation.current()
    assert current > seen[1]
    project_round(parts)
    assert generation.current() == current


def test_a_book_that_moved_leaves_the_index(parts: Dependencies, publish: Callable[..., None], scraped: Any) -> None:
    publish(scraped.item(1), scraped.item(2))
    ingest_round(parts)
    project_round(parts)
    publish(scraped.item(1, run="run-2", minute=1, isbn="0306406152"), scraped.item(2, run="run-2", isbn="0306406152"))
    ingest_round(parts)
    project_round(parts)
    assert BookReader(parts.engine).count() == indexed(parts) == 1


def test_only_one_of_a_machine_s_workers_takes_a_round(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.item(1))
    parts = replace(parts, settings=parts.settings.model_copy(update={"ingest_workers": 1}))
    with slot(parts.slots, "ingest") as is_mine:
        assert is_mine
        assert ingest_round(parts) == 0
    assert ingest_round(parts) == 1
    with slot(parts.slots, "project") as is_mine:
        assert is_mine
        assert project_round(parts) == 0
    assert project_round(parts) == 1


def test_an_index_in_use_is_left_to_its_holder(parts: Dependencies, publish: Callable[..., None], scraped: Any) -> None:
    publish(scraped.item(1))
    ingest_round(parts)
    with parts.open_index():
        assert project_round(parts) == 0
        sweep_round(parts)
    assert project_round(parts) == 1


def test_a_database_that_refuses_costs_nothing_but_time(
    parts: Dependencies, publish: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "_FIRST_PAUSE", 0.001)
    publish(scraped.item(1), scraped.finished(scraped=1))
    with refusing(parts.engine, "book"):
        for _ in range(8):  # more often than poison is handed out
            with pytest.raises(OperationalError):
                ingest_round(parts)
    assert ingest_round(parts) == 2
    assert QuarantineStore(parts.engine).count() == 0
    run = RunStore(parts.engine).get("run-1")
    assert run is not None
    assert run.state is RunState.COMPLETE


def test_a_projection_that_died_before_its_cursor_moved_is_repeated(
    parts: Dependencies, publish: Callable[..., None], scraped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(*(scraped.item(n) for n in range(1, 31)))
    ingest_round(parts)

    def die(*_: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(ChangeFeed, "advance", die)
        with pytest.raises(ConnectionError):
            project_round(parts)
    assert ChangeFeed(parts.engine).cursor("search") == 0
    assert project_round(parts) == 30
    assert indexed(parts) == 30


def test_while_more_is_coming_one_commit_takes_what_comes(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(*(scraped.item(n) for n in range(1, 6)))
    ingest_round(parts)
    asked: list[int] = []

    def more_is_coming() -> bool:
        asked.append(len(asked))
        if len(asked) == 2:
            publish(*(scraped.item(n) for n in range(6, 31)), scraped.item(1, run="run-2", minute=1, price="£2"))
            ingest_round(parts)
        return len(asked) < 4

    with parts.open_index() as index:
        assert parts.projection.step(index, more_is_coming=more_is_coming) == 31
        assert index.count() == 30
        assert parts.projection.step(index, more_is_coming=lambda: True) == 0, "nothing is waited for"
    assert ChangeFeed(parts.engine).cursor("search") == 31


def test_full_batches_nudge_the_projection_now_and_then(
    parts: Dependencies, publish: Callable[..., None], scraped: Any, nudges: list[str]
) -> None:
    publish(*(scraped.item(n) for n in range(1, 1001)))
    assert ingest_round(parts) == 1000
    assert 2 <= nudges.count("project") < 20, "at the first batch and at the end"
    before = nudges.count("project")
    publish(scraped.item(1001))
    ingest_round(parts)
    assert nudges.count("project") == before + 1


def test_a_crawl_that_redis_has_forgotten_ends_with_what_it_has_until_its_end_comes_after_all(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    def state(run_id: str) -> str:
        run = RunStore(parts.engine).get(run_id)
        assert run is not None
        return run.state

    parts = replace(parts, settings=parts.settings.model_copy(update={"settle_after": 0.01}))
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
        RunStore(parts.engine).create_requested(request)
    StreamWriter(parts.redis, CRAWL_STREAM).publish(["no request", waiting.model_dump_json()])
    publish(scraped.started(), scraped.item(1))
    publish(scraped.started("run-2"), scraped.item(1, run="run-2", key="upc-2"))
    parts.redis.hset(run_key("run-2"), "published", 1)
    ingest_round(parts)
    time.sleep(0.02)
    sweep_round(parts)
    assert [state(run_id) for run_id in ("run-1", "run-2", "waiting", "forgotten")] == [
        "partial",
        "running",
        "queued",
        "failed",
    ]
    run = RunStore(parts.engine).get("run-1")
    assert run is not None
    assert (run.counts.scraped, run.reason) == (1, "Redis has forgotten the crawl, and with it the end")
    publish(scraped.item(2, key="upc-3"), scraped.finished(scraped=2))
    ingest_round(parts)
    assert state("run-1") == "complete"


def test_a_lost_index_is_built_anew(parts: Dependencies, publish: Callable[..., None], scraped: Any) -> None:
    publish(*(scraped.item(n) for n in range(1, 91)))
    ingest_round(parts)
    project_round(parts)
    with parts.open_index() as index:
        index.clear()
    assert project_round(parts) == 0
    sweep_round(parts)
    assert indexed(parts) == 90


def test_predictions_are_stored_once_and_unreadable_ones_kept_apart(parts: Dependencies, scraped: Any) -> None:
    record = prediction()
    StreamWriter(parts.redis, PREDICTION_STREAM).publish([record.model_dump_json()] * 2 + ["?"])
    assert predictions_round(parts) == 3
    assert PredictionStore(parts.engine).recent(9) == [record]
    [kept] = QuarantineStore(parts.engine).list_open(limit=9)
    assert kept.reasons[0].code == "invalid_prediction"


def test_the_watchdog_restarts_a_worker_that_does_nothing_and_no_other(parts: Dependencies) -> None:
    asked: list[str] = []

    def note_progress() -> None:
        asked.append("nudge")
        parts.progress.record()

    def dog(nudge: Callable[[], None]) -> Watchdog:
        return Watchdog(
            parts.progress, parts.redis, stalled_after=0.4, nudge=nudge, restart=lambda: asked.append("restart")
        )

    lively = dog(note_progress)
    lively.start()
    wait_until(lambda: asked.count("nudge") >= 3, seconds=10, what="three nudges")
    assert lively.alive() is None
    assert lively.ready() is None
    lively.stop()
    lively.join(5)
    assert "restart" not in asked
    stalled = dog(lambda: None)
    stalled.start()
    wait_until(lambda: "restart" in asked, seconds=10, what="a restart")
    stalled.join(5)
    assert "no progress for" in str(stalled.alive())


def test_no_worker_is_restarted_because_redis_is_away(parts: Dependencies) -> None:
    asked: list[str] = []
    nowhere = connect_redis("redis://127.0.0.1:9/0")
    dog = Watchdog(
        parts.progress, nowhere, stalled_after=0.4, nudge=lambda: None, restart=lambda: asked.append("restart")
    )
    dog.start()
    time.sleep(1.5)
    assert asked == []
    assert dog.alive() is None
    assert "Redis does not answer" in str(dog.ready())
    dog.stop()
    dog.join(5)


def test_as_many_ingests_run_on_a_machine_as_the_database_takes_writers(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.item(1))
    with slot(parts.slots, "ingest"):  # another process is at it, with an entry that it has not finished
        [taken] = parts.reader(RAW_STREAM).read(1)
        publish(scraped.item(2))
        beside = supports_concurrent_writers(parts.engine)
        assert ingest_round(parts) == int(beside), "and leaves the other one's entry alone"
        with slot(parts.slots, "ingest-1"):
            assert ingest_round(parts) == 0
    assert ingest_round(parts) == 2 - int(beside)
    assert taken.deliveries == 1
    assert BookReader(parts.engine).count() == 2


def test_an_entry_whose_content_the_database_refuses_is_quarantined_without_its_neighbours(
    parts: Dependencies, publish: Callable[..., None], scraped: Any
) -> None:
    publish(scraped.started(), *(scraped.item(n) for n in range(1, 41)), scraped.finished(scraped=40))
    with refusing(parts.engine, "book", title="Book 13"):
        assert ingest_round(parts) == 42
    [kept] = QuarantineStore(parts.engine).list_open(limit=9)
    assert (kept.run_id, kept.reasons[0].code) == ("run-1", "refused_by_database")
    run = RunStore(parts.engine).get("run-1")
    assert run is not None
    assert (run.state, run.counts.added, run.counts.quarantined) == (RunState.COMPLETE, 39, 1)
    Replay(parts.engine).all()
    assert BookReader(parts.engine).count() == 40

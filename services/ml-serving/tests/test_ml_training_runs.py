"""Training runs: their states, also after the death of a trainer."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bookwheel_contracts import Book
from bookwheel_contracts.problems import UnavailableError
from bookwheel_ml.settings import MlSettings
from bookwheel_ml.training.runs import MAX_ATTEMPTS, TrainingRunStore, TrainingState
from bookwheel_ml.training.worker import create_celery, enqueue_training, run_training
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import free_port

FillRecords = Callable[[Path, list[Book]], str]
MakeBooks = Callable[..., list[Book]]
_TRACEPARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def _runs(url: str, sent: list[str] | None = None) -> TrainingRunStore:
    return TrainingRunStore(connect_redis(url, timeout=1), (sent if sent is not None else []).append)


def test_a_run_goes_from_queued_to_complete_and_is_not_started_again(redis_url: str) -> None:
    sent: list[str] = []
    runs = _runs(redis_url, sent)
    submitted = runs.submit(requested_by="tester", traceparent=_TRACEPARENT)
    assert sent == [submitted.id]
    queued = runs.get(submitted.id)
    assert queued is not None
    assert queued.model_dump_json() == submitted.model_dump_json()
    started = runs.start(submitted.id)
    assert started is not None
    assert (started.state, started.attempts) == (TrainingState.RUNNING, 1)
    runs.complete(started, version="4", alias="champion", verdict="learned")
    complete = runs.get(submitted.id)
    assert complete is not None
    assert (complete.state, complete.version, complete.reason) == (TrainingState.COMPLETE, "4", None)
    assert runs.start(submitted.id) is None


def test_a_run_whose_trainer_died_is_retried_a_limited_number_of_times(redis_url: str) -> None:
    runs = _runs(redis_url)
    run_id = runs.submit(requested_by="tester", traceparent=_TRACEPARENT).id
    for attempt in range(1, MAX_ATTEMPTS + 1):
        started = runs.start(run_id)
        assert started is not None
        assert started.attempts == attempt
    assert runs.start(run_id) is None
    failed = runs.get(run_id)
    assert failed is not None
    assert failed.state is TrainingState.FAILED
    assert failed.reason == f"The trainer died {MAX_ATTEMPTS} times during this run."


def test_an_unknown_run_is_not_trained(redis_url: str) -> None:
    assert _runs(redis_url).get("nowhere") is None
    assert _runs(redis_url).start("nowhere") is None
    run_training("nowhere", MlSettings(redis_url=redis_url))


def test_runs_are_unavailable_without_redis() -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    with pytest.raises(UnavailableError):
        _runs(url).submit(requested_by="tester", traceparent=_TRACEPARENT)
    with pytest.raises(UnavailableError):
        _runs(url).get("any")


def test_a_run_is_not_submitted_without_its_queue(redis_url: str) -> None:
    celery = create_celery(f"redis://127.0.0.1:{free_port()}/0")
    runs = TrainingRunStore(connect_redis(redis_url), lambda run_id: enqueue_training(celery, run_id))
    with pytest.raises(UnavailableError):
        runs.submit(requested_by="tester", traceparent=_TRACEPARENT)


def test_too_few_ratings_fail_the_run_with_the_reason(
    redis_url: str, tmp_path: Path, make_books: MakeBooks, fill_records: FillRecords
) -> None:
    url = fill_records(tmp_path, make_books(12))
    runs = _runs(redis_url)
    run_id = runs.submit(requested_by="tester", traceparent=_TRACEPARENT).id
    run_training(run_id, MlSettings(redis_url=redis_url, database_url=url, state_dir=tmp_path))
    failed = runs.get(run_id)
    assert failed is not None
    assert failed.state is TrainingState.FAILED
    assert failed.reason is not None
    assert "rated books to train on" in failed.reason

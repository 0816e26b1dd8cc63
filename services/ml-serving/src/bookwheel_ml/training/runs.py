"""Training runs in Redis: the API creates them, the trainer updates their state."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.problems import UnavailableError
from bookwheel_contracts.redis_keys import training_run_key
from redis import Redis
from redis.exceptions import RedisError

RETENTION_SECONDS = 30 * 24 * 3600
MAX_ATTEMPTS = 3


class TrainingState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class TrainingRun(Contract):
    """A training run and its state.

    Once it is complete, `version` is the registered model version, `alias` is `champion` or `challenger`, and `verdict`
    is the model's EvaluationResult. `reason` is the error of a failed run.
    """

    id: str
    state: TrainingState
    requested_by: str
    requested_at: Timestamp
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    attempts: int = 0
    version: str | None = None
    alias: str | None = None
    verdict: str | None = None
    reason: str | None = None
    traceparent: str


class TrainingRunStore:
    """Stores training runs in Redis, for 30 days."""

    def __init__(self, redis: "Redis", enqueue: Callable[[str], None]) -> None:
        self._redis = redis
        self._enqueue = enqueue

    def submit(self, *, requested_by: str, traceparent: str) -> TrainingRun:
        """Stores a new run and enqueues it for the trainer. Raises UnavailableError."""
        run = TrainingRun(
            id=uuid4().hex,
            state=TrainingState.QUEUED,
            requested_by=requested_by,
            requested_at=datetime.now(UTC),
            traceparent=traceparent,
        )
        with _redis_errors_as_unavailable():
            self._write(run)
            self._enqueue(run.id)
        return run

    def get(self, run_id: str) -> TrainingRun | None:
        """Returns the run, or None if it does not exist. Raises UnavailableError."""
        with _redis_errors_as_unavailable():
            content: Any = self._redis.get(training_run_key(run_id))
        return TrainingRun.model_validate_json(content) if content else None

    def start(self, run_id: str) -> TrainingRun | None:
        """Marks the run as running. Returns None if the run does not exist or is finished.

        Marks the run as failed, and returns None, after too many attempts. A run in state `running` is started again,
        because its trainer died.
        """
        run = self.get(run_id)
        if run is None or run.state in {TrainingState.COMPLETE, TrainingState.FAILED}:
            return None
        if run.attempts >= MAX_ATTEMPTS:
            self.fail(run, f"The trainer died {run.attempts} times during this run.")
            return None
        now = datetime.now(UTC)
        return self._update(run, state=TrainingState.RUNNING, started_at=now, attempts=run.attempts + 1)

    def complete(self, run: TrainingRun, *, version: str, alias: str, verdict: str) -> TrainingRun:
        finished_at = datetime.now(UTC)
        return self._update(
            run, state=TrainingState.COMPLETE, finished_at=finished_at, version=version, alias=alias, verdict=verdict
        )

    def fail(self, run: TrainingRun, reason: str) -> TrainingRun:
        return self._update(run, state=TrainingState.FAILED, finished_at=datetime.now(UTC), reason=reason)

    def _update(self, run: TrainingRun, **changes: Any) -> TrainingRun:
        updated = run.model_copy(update=changes)
        self._write(updated)
        return updated

    def _write(self, run: TrainingRun) -> None:
        self._redis.set(training_run_key(run.id), run.model_dump_json(), ex=RETENTION_SECONDS)


@contextmanager
def _redis_errors_as_unavailable() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise UnavailableError("Redis is unavailable: retry later.", retry_after=5) from error

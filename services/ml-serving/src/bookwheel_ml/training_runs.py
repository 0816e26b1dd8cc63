"""The state of training runs, in Redis: asked for by the API, moved on by the trainer."""

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

KEPT_SECONDS = 30 * 24 * 3600
MOST_ATTEMPTS = 3


class TrainingState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class TrainingRun(Contract):
    """`version` and `alias` say what came of a complete run, `reason` why a run failed."""

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


class TrainingRuns:
    """Kept for 30 days."""

    def __init__(self, redis: "Redis", send: Callable[[str], None]) -> None:
        self._redis = redis
        self._send = send

    def request(self, *, requested_by: str, traceparent: str) -> TrainingRun:
        """Writes the run down, then hands it to the trainer. Raises Unavailable while Redis is away."""
        run = TrainingRun(
            id=uuid4().hex,
            state=TrainingState.QUEUED,
            requested_by=requested_by,
            requested_at=datetime.now(UTC),
            traceparent=traceparent,
        )
        with _redis_needed():
            self._write(run)
            self._send(run.id)
        return run

    def get(self, run_id: str) -> TrainingRun | None:
        """Raises Unavailable while Redis is away."""
        with _redis_needed():
            found: Any = self._redis.get(training_run_key(run_id))
        return TrainingRun.model_validate_json(found) if found else None

    def start(self, run_id: str) -> TrainingRun | None:
        """The run, now running; None where there is nothing to do: unknown, ended, or failed too often to try again.

        A run that finds itself running already was left by a trainer that died with it.
        """
        run = self.get(run_id)
        if run is None or run.state in {TrainingState.COMPLETE, TrainingState.FAILED}:
            return None
        if run.attempts >= MOST_ATTEMPTS:
            self.fail(run, f"The trainer died with this run {run.attempts} times.")
            return None
        now = datetime.now(UTC)
        return self._update(run, state=TrainingState.RUNNING, started_at=now, attempts=run.attempts + 1)

    def complete(self, run: TrainingRun, *, version: str, alias: str, verdict: str) -> TrainingRun:
        done = {"state": TrainingState.COMPLETE, "finished_at": datetime.now(UTC)}
        return self._update(run, **done, version=version, alias=alias, verdict=verdict)

    def fail(self, run: TrainingRun, reason: str) -> TrainingRun:
        return self._update(run, state=TrainingState.FAILED, finished_at=datetime.now(UTC), reason=reason)

    def _update(self, run: TrainingRun, **changes: Any) -> TrainingRun:
        changed = run.model_copy(update=changes)
        self._write(changed)
        return changed

    def _write(self, run: TrainingRun) -> None:
        self._redis.set(training_run_key(run.id), run.model_dump_json(), ex=KEPT_SECONDS)


@contextmanager
def _redis_needed() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise UnavailableError("Training runs can't be reached right now.", retry_after=5) from error

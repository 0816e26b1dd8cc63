"""Requested index builds. Requests are published to a stream, and the state of a build is stored in Redis."""

from enum import StrEnum

from pydantic import Field

from bookwheel_contracts.model import Contract, Timestamp

REINDEX_DAYS = 7


class ReindexRequest(Contract):
    """One entry of `REINDEX_STREAM`."""

    job_id: str
    requested_at: Timestamp
    requested_by: str
    traceparent: str


class ReindexState(StrEnum):
    """`failed`: `reason` has the error, and the current index continues to serve."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class ReindexJob(Contract):
    """A requested index build. `books` is the number of indexed books; it is null until the build is complete."""

    id: str
    state: ReindexState
    reason: str | None = None
    requested_at: Timestamp
    requested_by: str
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    books: int | None = Field(default=None, ge=0)

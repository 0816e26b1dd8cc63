"""Requested index builds: submitted in a stream, their state in Redis."""

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
    """`failed`: the current index keeps serving; `reason` says why."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class ReindexJob(Contract):
    """A build of the search index. `books` is the number of books in a complete one."""

    id: str
    state: ReindexState
    reason: str | None = None
    requested_at: Timestamp
    requested_by: str
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    books: int | None = Field(default=None, ge=0)

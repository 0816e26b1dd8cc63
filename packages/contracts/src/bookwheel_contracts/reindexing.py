"""Building the search index anew: asked of the processor through a stream, followed in Redis."""

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
    """`failed`: the index that served goes on serving, and `reason` tells why."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"


class ReindexJob(Contract):
    """A build of the search index. `books` is how many the new one holds, once it is complete."""

    id: str
    state: ReindexState
    reason: str | None = None
    requested_at: Timestamp
    requested_by: str
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    books: int | None = Field(default=None, ge=0)

"""Asking for the search index to be built anew, and following it."""

import secrets
from datetime import UTC, datetime

from bookwheel_contracts import ReindexJob, ReindexRequest, ReindexState
from bookwheel_contracts.problems import NotFoundError, UnavailableError
from bookwheel_contracts.redis_keys import REINDEX_STREAM, reindex_key
from bookwheel_contracts.reindexing import REINDEX_DAYS
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.exceptions import RedisError

_AWAY = "Redis is away, and a build of the index can't be asked for or followed without it."


class ReindexOrders:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def place(self, *, requested_by: str) -> ReindexJob:
        """Raises Unavailable while Redis is away."""
        request = ReindexRequest(
            job_id=secrets.token_hex(16),
            requested_at=datetime.now(UTC),
            requested_by=requested_by,
            traceparent=current_traceparent(),
        )
        job = ReindexJob(
            id=request.job_id,
            state=ReindexState.QUEUED,
            requested_at=request.requested_at,
            requested_by=requested_by,
        )
        try:
            # the job first: the processor overwrites it, and may be faster than we are
            self._redis.set(reindex_key(job.id), job.model_dump_json(), ex=REINDEX_DAYS * 86_400)
            StreamWriter(self._redis, REINDEX_STREAM).publish([request.model_dump_json()])
        except RedisError as error:
            raise UnavailableError(_AWAY, retry_after=1) from error
        return job

    def get(self, job_id: str) -> ReindexJob:
        """A build as it is now. Raises NotFound, or Unavailable while Redis is away."""
        try:
            found = self._redis.get(reindex_key(job_id))
        except RedisError as error:
            raise UnavailableError(_AWAY, retry_after=1) from error
        if found is None:
            raise NotFoundError(
                f"There is no build {job_id} of the index, or it was more than {REINDEX_DAYS} days ago."
            )
        return ReindexJob.model_validate_json(found)

"""Requests for rebuilds of the search index, and their state."""

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

_UNAVAILABLE = "Redis is unavailable: retry later."


class ReindexService:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def submit(self, *, requested_by: str) -> ReindexJob:
        """Raises UnavailableError while Redis is unavailable."""
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
            raise UnavailableError(_UNAVAILABLE, retry_after=1) from error
        return job

    def get(self, job_id: str) -> ReindexJob:
        """Raises NotFoundError, or UnavailableError while Redis is unavailable."""
        try:
            job = self._redis.get(reindex_key(job_id))
        except RedisError as error:
            raise UnavailableError(_UNAVAILABLE, retry_after=1) from error
        if job is None:
            detail = f"There is no build {job_id} of the index, or it is more than {REINDEX_DAYS} days old."
            raise NotFoundError(detail)
        return ReindexJob.model_validate_json(job)

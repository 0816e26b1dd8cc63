"""Requests index builds and returns their state."""

import secrets
from datetime import UTC, datetime

from bookwheel_contracts import ReindexJob, ReindexRequest, ReindexState
from bookwheel_contracts.problems import NotFoundError
from bookwheel_contracts.redis_keys import REINDEX_STREAM, reindex_key
from bookwheel_contracts.reindexing import REINDEX_DAYS
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.streams import StreamWriter
from redis import Redis


class IndexBuildService:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def submit(self, *, requested_by: str) -> ReindexJob:
        """Requests an index build. Raises RedisError."""
        request = ReindexRequest(
            job_id=secrets.token_hex(16),
            requested_at=datetime.now(UTC),
            requested_by=requested_by,
            traceparent=current_traceparent(),
        )
        build = ReindexJob(
            id=request.job_id,
            state=ReindexState.QUEUED,
            requested_at=request.requested_at,
            requested_by=requested_by,
        )
        # store the build first: the processor overwrites it as soon as it receives the request
        self._redis.set(reindex_key(build.id), build.model_dump_json(), ex=REINDEX_DAYS * 86_400)
        StreamWriter(self._redis, REINDEX_STREAM).publish([request.model_dump_json()])
        return build

    def get(self, build_id: str) -> ReindexJob:
        """Returns an index build. Raises NotFoundError or RedisError."""
        build_json = self._redis.get(reindex_key(build_id))
        if build_json is None:
            detail = f"Index build {build_id} does not exist, or it is more than {REINDEX_DAYS} days old."
            raise NotFoundError(detail)
        return ReindexJob.model_validate_json(build_json)

"""Submits crawl requests for scheduled sources."""

import uuid
from datetime import UTC, datetime
from typing import Any

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_contracts.model import format_time
from bookwheel_contracts.redis_keys import CRAWL_STREAM, SCHEDULE_KEY
from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.traces import new_traceparent
from bookwheel_stores.streams import BODY_FIELD, StreamWriter
from pydantic import ValidationError
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError

from bookwheel_scraper.sources.declarations import Source

logger = get_logger(__name__)


class Scheduler:
    """Submits a crawl request when a source is due.

    Several scrapers can run a scheduler at the same time: a Redis transaction ensures one request per due time. If
    several due times passed while no scraper ran, the source gets one request. It gets no request while an earlier
    request is pending.
    """

    def __init__(self, redis: Redis, sources: dict[str, Source]) -> None:
        self._redis = redis
        self._writer = StreamWriter(redis, CRAWL_STREAM)
        self._sources = [source for source in sources.values() if source.schedule and not source.requires_start_url]

    def submit_due(self, now: datetime) -> list[str]:
        """Submits the requests that are due and returns the names of their sources. Raises redis.RedisError."""
        return [source.name for source in self._sources if self._submit_if_due(source, now)]

    def _submit_if_due(self, source: Source, now: datetime) -> bool:
        latest_due_time = source.latest_due_time(now)
        if latest_due_time is None:
            return False
        due_time = format_time(latest_due_time)
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(SCHEDULE_KEY)  # type: ignore[no-untyped-call]  # untyped in redis-py
            previous_due_time: Any = pipe.hget(SCHEDULE_KEY, source.name)
            if previous_due_time is not None and previous_due_time.decode() >= due_time:
                return False
            pipe.multi()
            pipe.hset(SCHEDULE_KEY, source.name, due_time)
            # A new source is first crawled at its next due time.
            is_submitted = previous_due_time is not None and not self._has_pending_request(source)
            if is_submitted:
                self._append_request(pipe, source, now, due_time)
            try:
                pipe.execute()
            except WatchError:  # another scraper claimed this due time
                return False
        return is_submitted

    def _append_request(self, pipe: Pipeline, source: Source, now: datetime, due_time: str) -> None:
        request = CrawlRequest(
            run_id=str(uuid.uuid4()),
            source=source.name,
            start_url=None,
            requested_at=now.astimezone(UTC),
            requested_by="schedule",
            traceparent=new_traceparent(),
        )
        logger.info("scheduled crawl submitted", source=source.name, due=due_time, run_id=request.run_id)
        self._writer.append_to(pipe, [request.model_dump_json()])

    def _has_pending_request(self, source: Source) -> bool:
        entries: Any = self._redis.xrange(CRAWL_STREAM, count=1000)
        for _entry_id, fields in entries:
            try:
                if CrawlRequest.model_validate_json(fields.get(BODY_FIELD, b"")).source == source.name:
                    return True
            except ValidationError:
                continue
        return False

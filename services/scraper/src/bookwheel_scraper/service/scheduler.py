"""Asks for the crawls that are due by their sources' schedules."""

import uuid
from datetime import UTC, datetime
from typing import Any

from bookwheel_contracts.crawls import CRAWL_STREAM, CrawlRequest
from bookwheel_contracts.model import format_time
from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.traces import new_traceparent
from bookwheel_stores.streams import BODY_FIELD, StreamWriter
from pydantic import ValidationError
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError

from bookwheel_scraper.sources.declarations import Source

logger = get_logger(__name__)
SCHEDULE_KEY = "bookwheel:schedule"
"""Hash from a source's name to the last time it was due and asked for."""


class Scheduler:
    """Several scrapers may run one each: a due time is taken by a transaction, so it makes one request.

    A source is asked for once however many of its times have passed while no scraper ran, and not at all while a
    request for it is still under way.
    """

    def __init__(self, redis: Redis, sources: dict[str, Source]) -> None:
        self._redis = redis
        self._writer = StreamWriter(redis, CRAWL_STREAM)
        self._sources = [source for source in sources.values() if source.schedule and not source.requires_start_url]

    def ask_for_due(self, now: datetime) -> list[str]:
        """Names of the sources that a request was written for. Raises redis.RedisError."""
        return [source.name for source in self._sources if self._ask_if_due(source, now)]

    def _ask_if_due(self, source: Source, now: datetime) -> bool:
        if source.timetable is None:
            return False
        due = format_time(source.timetable(now))
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.watch(SCHEDULE_KEY)  # type: ignore[no-untyped-call]  # untyped in redis-py
            last: Any = pipe.hget(SCHEDULE_KEY, source.name)
            if last is not None and last.decode() >= due:
                return False
            pipe.multi()
            pipe.hset(SCHEDULE_KEY, source.name, due)
            asked = last is not None and not self._is_under_way(source)  # a new source waits for its first time
            if asked:
                self._append(pipe, source, now, due)
            try:
                pipe.execute()
            except WatchError:  # another scraper was first; at the next look this time is past
                return False
        return asked

    def _append(self, pipe: Pipeline, source: Source, now: datetime, due: str) -> None:
        request = CrawlRequest(
            run_id=str(uuid.uuid4()),
            source=source.name,
            start_url=None,
            requested_at=now.astimezone(UTC),
            requested_by="schedule",
            traceparent=new_traceparent(),
        )
        logger.info("crawl is due", source=source.name, due=due, run_id=request.run_id)
        self._writer.append_to(pipe, [request.model_dump_json()])

    def _is_under_way(self, source: Source) -> bool:
        entries: Any = self._redis.xrange(CRAWL_STREAM, count=1000)
        for _entry_id, fields in entries:
            try:
                if CrawlRequest.model_validate_json(fields.get(BODY_FIELD, b"")).source == source.name:
                    return True
            except ValidationError:
                continue
        return False

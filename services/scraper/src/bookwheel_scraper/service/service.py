"""The scraper service: reads crawl requests from Redis and runs each in a separate process."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM
from bookwheel_runtime.health_server import HealthChecks, Progress, serve_health, stalled_check
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.streams import StreamEntry, StreamReader, connect_redis
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_scraper.service.crawl_supervisor import CrawlSupervisor
from bookwheel_scraper.service.scheduler import Scheduler
from bookwheel_scraper.service.source_list import publish_sources
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source

logger = get_logger(__name__)
_STALLED_SECONDS = 60.0
_METRICS_SECONDS = 2.0


@dataclass(slots=True)
class _PeriodicTask:
    interval_seconds: float
    action: Callable[[], object]
    next_run_at: float = 0.0

    def run_if_due(self) -> None:
        if time.monotonic() >= self.next_run_at:
            self.action()
            self.next_run_at = time.monotonic() + self.interval_seconds


class ScraperService:
    """Reads crawl requests and runs their crawls.

    A stream entry stays pending, and its claim is extended, until the run's finish message is published. If this
    process dies, another scraper claims the request and starts the next attempt.
    """

    def __init__(self, settings: ScraperSettings, sources: dict[str, Source]) -> None:
        self._settings = settings
        self._sources = sources
        self._redis: Redis = connect_redis(settings.redis_url)
        self._reader = StreamReader(
            self._redis,
            CRAWL_STREAM,
            group="scraper",
            consumer=socket.gethostname(),
            claim_after=settings.scraper_claim_seconds,
        )
        self._crawls = CrawlSupervisor(
            self._redis, settings, sources.keys(), lambda entry_id: self._reader.acknowledge([entry_id])
        )
        scheduler = Scheduler(self._redis, sources)
        self._stopping = False
        self._progress = Progress()
        self._redis_error: str | None = None
        claim_interval = settings.scraper_claim_seconds / 5
        self._periodic_tasks = (
            _PeriodicTask(claim_interval, lambda: self._reader.extend_claim(self._crawls.entry_ids)),
            _PeriodicTask(claim_interval, self._claim),
            _PeriodicTask(1.0, lambda: scheduler.submit_due(datetime.now(UTC))),
            _PeriodicTask(_METRICS_SECONDS, self._crawls.update_metrics),
            _PeriodicTask(1.0, self._crawls.stop_cancelled),
            _PeriodicTask(30.0, lambda: publish_sources(self._redis, self._sources)),
        )

    def stop(self) -> None:
        self._stopping = True

    def serve(self) -> None:
        """Runs until `stop` is called.

        Then, depending on the setting `scraper_when_stopped`, it stops the crawls or kills them. The runs of stopped
        crawls end as partial. Another scraper continues killed crawls.
        """
        logger.info("scraper started", sources=sorted(self._sources))
        checks = HealthChecks(stalled_check(self._progress, within=_STALLED_SECONDS), self._not_ready_reason)
        serve_health(self._settings.host, self._settings.metrics_port, checks)
        heartbeats = HeartbeatPublisher(
            self._redis, "scraper", get_error=self._not_ready_reason, progress=self._progress.age
        )
        heartbeats.start()
        while not self._stopping:
            try:
                self._step()
                self._redis_error = None
            except RedisError as error:
                self._redis_error = f"Redis is unavailable: {error}"
                logger.warning("redis unavailable", error=str(error))
                if not self._stopping:
                    time.sleep(1.0)
            self._progress.record()
        if self._settings.scraper_when_stopped == "hand-over":
            # Kill the crawls first, because the next calls can wait for Redis.
            self._crawls.kill_all()
            if self._redis_error is None:
                heartbeats.stop()
        else:
            heartbeats.stop()
            self._crawls.stop_all()
        logger.info("scraper stopped")

    def _not_ready_reason(self) -> str | None:
        """Why this scraper is not ready; None if it is ready."""
        return self._redis_error or ("the scraper is starting" if self._progress.age() is None else None)

    def _step(self) -> None:
        self._crawls.poll()
        for task in self._periodic_tasks:
            task.run_if_due()
        if self._crawls.free_slots > 0:
            for entry in self._reader.read(self._crawls.free_slots, block_ms=200):
                self._accept(entry)
        else:
            time.sleep(0.2)

    def _claim(self) -> None:
        """Claims the requests of dead scrapers.

        After a long Redis outage the claim can also return entries of this scraper; `submit` ignores them.
        """
        if self._crawls.free_slots > 0:
            for entry in self._reader.claim(self._crawls.free_slots):
                self._accept(entry)

    def _accept(self, entry: StreamEntry) -> None:
        try:
            request = CrawlRequest.model_validate_json(entry.body)
        except ValidationError as error:
            logger.error("crawl request invalid", entry_id=entry.id, error=str(error)[:500])
            self._reader.acknowledge([entry.id])
            return
        self._crawls.submit(entry.id, request)

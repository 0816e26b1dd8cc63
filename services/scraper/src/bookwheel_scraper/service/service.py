"""The long-running scraper: consumes crawl requests from Redis and runs each in a process of its own."""

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
    seconds: float
    action: Callable[[], object]
    due: float = 0.0

    def run_if_due(self) -> None:
        if time.monotonic() >= self.due:
            self.action()
            self.due = time.monotonic() + self.seconds


class ScraperService:
    """A request's stream entry stays pending until the end of its run is published; its claim is extended meanwhile.

    So a request outlives this process: the scraper that claims it starts the run's next attempt.
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
        self._redis_fault: str | None = None
        claim_period = settings.scraper_claim_seconds / 5
        self._periodic_tasks = (
            _PeriodicTask(claim_period, lambda: self._reader.extend_claim(self._crawls.entry_ids)),
            _PeriodicTask(claim_period, self._claim),
            _PeriodicTask(1.0, lambda: scheduler.submit_due(datetime.now(UTC))),
            _PeriodicTask(_METRICS_SECONDS, self._crawls.update_metrics),
            _PeriodicTask(30.0, lambda: publish_sources(self._redis, self._sources)),
        )

    def stop(self) -> None:
        self._stopping = True

    def serve(self) -> None:
        """Serves until `stop` is called.

        Then either ends the crawls gracefully, so that their runs end as partial, or hands them over to another
        scraper, as the setting `scraper_when_stopped` says.
        """
        logger.info("scraper started", sources=sorted(self._sources))
        checks = HealthChecks(stalled_check(self._progress, within=_STALLED_SECONDS), self._readiness_fault)
        serve_health(self._settings.host, self._settings.metrics_port, checks)
        heartbeats = HeartbeatPublisher(
            self._redis, "scraper", fault=self._readiness_fault, progress=self._progress.age
        )
        heartbeats.start()
        while not self._stopping:
            try:
                self._step()
                self._redis_fault = None
            except RedisError as error:
                self._redis_fault = f"Redis is unavailable: {error}"
                logger.warning("redis unavailable", error=str(error))
                if not self._stopping:
                    time.sleep(1.0)
            self._progress.record()
        if self._settings.scraper_when_stopped == "hand-over":
            self._crawls.kill_all()  # before anything that may wait for Redis
            if self._redis_fault is None:
                heartbeats.stop()
        else:
            heartbeats.stop()
            self._crawls.stop_all()
        logger.info("scraper stopped")

    def _readiness_fault(self) -> str | None:
        """The reason why this scraper takes no requests; None when it does."""
        return self._redis_fault or ("it is starting" if self._progress.age() is None else None)

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
        """Claims the requests of a dead scraper. Own entries also come back after a long outage of Redis."""
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

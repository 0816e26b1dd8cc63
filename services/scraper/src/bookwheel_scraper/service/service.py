"""The long-running scraper: takes crawl requests from the stream and runs each in a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bookwheel_contracts.crawls import CRAWL_STREAM, CrawlRequest
from bookwheel_runtime.health_server import HealthChecks, Progress, serve_health, stalled_check
from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.traces import traced
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.streams import StreamEntry, StreamReader, connect_redis
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_scraper.crawl.outcomes import ExitStatus
from bookwheel_scraper.crawl.run_events import RunMessages
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts
from bookwheel_scraper.service.metrics import CRAWLS_RUNNING, ENDED, ERRORS, ITEMS, PAGES
from bookwheel_scraper.service.scheduler import Scheduler
from bookwheel_scraper.service.source_list import publish_sources
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source

logger = get_logger(__name__)


_STALLED_SECONDS = 60.0
_COUNT_SECONDS = 2.0


@dataclass(slots=True)
class _Crawl:
    """A request in our hands: its process, or when to start the next one after that died."""

    request: CrawlRequest
    process: "subprocess.Popen[bytes] | None" = None
    retry_at: float = 0.0
    counted: RunCounts = field(default_factory=RunCounts)
    """What the metrics hold of it, or was there before it was ours."""


@dataclass(slots=True)
class _Duty:
    """Something to do every `seconds`."""

    seconds: float
    action: Callable[[], None]
    due: float = 0.0

    def run_if_due(self) -> None:
        if time.monotonic() >= self.due:
            self.action()
            self.due = time.monotonic() + self.seconds


class ScraperService:
    """A request's entry stays pending in the stream until the run's end is published, and is touched meanwhile. So a
    request outlives this process: whoever claims it begins the run's next attempt.
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
        self._scheduler = Scheduler(self._redis, sources)
        self._crawls: dict[str, _Crawl] = {}
        self._stopping = False
        self._progress = Progress()
        self._redis_fault: str | None = None
        self._duties = (
            _Duty(settings.scraper_claim_seconds / 5, lambda: self._reader.extend_claim(list(self._crawls))),
            _Duty(settings.scraper_claim_seconds / 5, self._claim),
            _Duty(1.0, self._schedule),
            _Duty(_COUNT_SECONDS, self._count),
            _Duty(30.0, lambda: publish_sources(self._redis, self._sources)),
        )

    def stop(self) -> None:
        self._stopping = True

    def serve(self) -> None:
        """Serves until `stop`, then ends the crawls gracefully: their runs end as partial. Or hands them over."""
        logger.info("serving", sources=sorted(self._sources))
        vitals = HealthChecks(stalled_check(self._progress, within=_STALLED_SECONDS), self._fault)
        serve_health(self._settings.host, self._settings.metrics_port, vitals)
        herald = HeartbeatPublisher(self._redis, "scraper", fault=self._fault, progress=self._progress.age)
        herald.start()
        while not self._stopping:
            try:
                self._step()
                self._redis_fault = None
            except RedisError as error:
                self._redis_fault = f"Redis does not answer: {error}"
                logger.warning("waiting for Redis", error=str(error))
                if not self._stopping:
                    time.sleep(1.0)
            self._progress.record()
        if self._settings.scraper_when_stopped == "hand-over":
            self._hand_over()  # first of all: what comes after may wait for Redis
            if self._redis_fault is None:  # else there is nobody to take leave of
                herald.stop()
        else:
            herald.stop()
            self._end_crawls()

    def _fault(self) -> str | None:
        """Why it takes no requests; None where it does."""
        return self._redis_fault or ("it has not begun yet" if self._progress.age() is None else None)

    def _step(self) -> None:
        self._look_after_crawls()
        for duty in self._duties:
            duty.run_if_due()
        free = self._settings.scraper_crawls - len(self._crawls)
        if free > 0:
            for entry in self._reader.read(free, block_ms=200):
                self._take(entry)
        else:
            time.sleep(0.2)

    def _count(self) -> None:
        CRAWLS_RUNNING.set(sum(crawl.process is not None for crawl in self._crawls.values()))
        for crawl in self._crawls.values():
            self._count_progress(crawl)

    def _count_progress(self, crawl: _Crawl) -> RunCounts:
        """Counts what the crawl has done since it was last counted, and returns all of it."""
        now, before = RunAttempt(self._redis, crawl.request.run_id).progress(), crawl.counted
        source = self._label(crawl)
        PAGES.labels(source).inc(max(0, now.pages - before.pages))
        ITEMS.labels(source).inc(max(0, now.published - before.published))
        ERRORS.labels(source).inc(max(0, now.errors - before.errors))
        crawl.counted = now
        return now

    def _label(self, crawl: _Crawl) -> str:
        """Its source; one of a few, whatever a request says."""
        return crawl.request.source if crawl.request.source in self._sources else "undeclared"

    def _schedule(self) -> None:
        self._scheduler.ask_for_due(datetime.now(UTC))

    def _claim(self) -> None:
        """Takes over what a dead scraper left behind. Our own entries come back too, where Redis was away for long."""
        free = self._settings.scraper_crawls - len(self._crawls)
        if free > 0:
            for entry in self._reader.claim(free):
                self._take(entry)

    def _take(self, entry: StreamEntry) -> None:
        if entry.id in self._crawls:
            return
        try:
            request = CrawlRequest.model_validate_json(entry.body)
        except ValidationError as error:
            logger.error("not a crawl request", entry=entry.id, error=str(error)[:500])
            self._reader.acknowledge([entry.id])
            return
        self._crawls[entry.id] = _Crawl(request)
        self._begin_attempt(entry.id)

    def _begin_attempt(self, entry_id: str) -> None:
        crawl = self._crawls[entry_id]
        progress = crawl.counted = RunAttempt(self._redis, crawl.request.run_id).progress()
        if progress.finished:  # its scraper died between the run's end and this acknowledgement
            self._done(entry_id)
        elif progress.attempt >= self._settings.scraper_attempts:
            self._give_up(crawl.request)
            self._done(entry_id)
        else:
            crawl.process = self._start(crawl.request)

    def _start(self, request: CrawlRequest) -> "subprocess.Popen[bytes]":
        with traced(request.traceparent):
            logger.info("starting crawl", run_id=request.run_id, source=request.source)
        module = "bookwheel_scraper.crawl.process"
        command = [sys.executable, "-m", module, "--parent", str(os.getpid()), "--request", request.model_dump_json()]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own module, no shell

    def _give_up(self, request: CrawlRequest) -> None:
        reason = f"the crawl's process died {self._settings.scraper_attempts} times"
        logger.error("giving up", run_id=request.run_id, reason=reason)
        messages = RunMessages(request, request.traceparent)
        ledger = RunAttempt(self._redis, request.run_id)
        before = ledger.begin(messages.started(request.start_url or ""))
        ledger.finish(messages.broken(before, reason))

    def _look_after_crawls(self) -> None:
        for entry_id, crawl in list(self._crawls.items()):
            if crawl.process is None:
                if time.monotonic() >= crawl.retry_at:
                    self._begin_attempt(entry_id)
            elif (status := crawl.process.poll()) is not None:
                self._look_after_ended(entry_id, crawl, status)

    def _look_after_ended(self, entry_id: str, crawl: _Crawl, status: int) -> None:
        progress = self._count_progress(crawl)
        if progress.finished:
            ENDED.labels(self._label(crawl), "ended").inc()
            self._done(entry_id)
        elif status == ExitStatus.TAKEN_OVER:
            del self._crawls[entry_id]
        else:
            ENDED.labels(self._label(crawl), "died").inc()
            logger.error("crawl died", run_id=crawl.request.run_id, status=status, attempt=progress.attempt)
            crawl.process = None
            crawl.retry_at = time.monotonic() + min(30.0, 2.0 ** min(progress.attempt, 5) / 2)

    def _done(self, entry_id: str) -> None:
        self._reader.acknowledge([entry_id])
        del self._crawls[entry_id]

    def _hand_over(self) -> None:
        """Kills the crawls and leaves their requests pending: whoever claims one begins the run's next attempt."""
        processes = [crawl.process for crawl in self._crawls.values() if crawl.process is not None]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        logger.info("stopped", handed_over=[crawl.request.run_id for crawl in self._crawls.values()])

    def _end_crawls(self) -> None:
        """Asks all crawls to end, waits as long as they may take, and acknowledges those whose end is published."""
        for crawl in self._crawls.values():
            if crawl.process is not None:
                crawl.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 2 * self._settings.scraper_stop_seconds + 2
        for entry_id, crawl in list(self._crawls.items()):
            if crawl.process is None:
                continue
            try:
                crawl.process.wait(max(0.1, deadline - time.monotonic()))
                self._look_after_ended(entry_id, crawl, crawl.process.returncode)
            except subprocess.TimeoutExpired:
                crawl.process.kill()
                crawl.process.wait()
            except RedisError as error:
                logger.warning("left to the next scraper", run_id=crawl.request.run_id, error=str(error))
        logger.info("stopped")

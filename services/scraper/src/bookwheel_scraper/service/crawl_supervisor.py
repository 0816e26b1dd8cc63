"""Runs each crawl request in a child process, restarts a process that died, and exports its counts as metrics."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.traces import traced
from prometheus_client import Counter, Gauge
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_scraper.crawl.process import CANCEL_SIGNAL
from bookwheel_scraper.crawl.run_events import ExitStatus, RunMessages
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts
from bookwheel_scraper.settings import ScraperSettings

logger = get_logger(__name__)

# The counts of the crawl processes are read from Redis and added to these metrics of the service.
CRAWLS_RUNNING = Gauge("bookwheel_crawls_running", "Crawls whose process runs in this scraper.")
CRAWL_PROCESSES = Counter(
    "bookwheel_crawl_processes",
    "Ended crawl processes by outcome; a crawl that `died` is retried.",
    ["source", "outcome"],
)
CRAWLED_PAGES = Counter("bookwheel_crawled_pages", "Pages that crawls have read.", ["source"])
PUBLISHED_ITEMS = Counter("bookwheel_published_items", "Items that crawls have published.", ["source"])
CRAWL_ERRORS = Counter("bookwheel_crawl_errors", "Pages that crawls could not read.", ["source"])


@dataclass(slots=True)
class _Crawl:
    """A crawl request that this scraper has accepted, with its process or the time of its next attempt."""

    request: CrawlRequest
    process: "subprocess.Popen[bytes] | None" = None
    retry_at: float = 0.0
    cancel_deadline: float | None = None
    """The time at which the process of a cancelled run is killed."""
    exported_counts: RunCounts = field(default_factory=RunCounts)
    """The run's counts that this scraper or an earlier one has already added to the metrics."""


class CrawlSupervisor:
    """Tracks crawls by the id of their stream entry. Calls `acknowledge` with the id when the run has ended.

    Methods raise RedisError if Redis is unavailable; it is safe to call them again.
    """

    def __init__(
        self, redis: Redis, settings: ScraperSettings, sources: Collection[str], acknowledge: Callable[[str], None]
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._sources = sources
        self._acknowledge = acknowledge
        self._crawls: dict[str, _Crawl] = {}

    @property
    def entry_ids(self) -> list[str]:
        return list(self._crawls)

    @property
    def free_slots(self) -> int:
        return self._settings.scraper_crawls - len(self._crawls)

    def submit(self, entry_id: str, request: CrawlRequest) -> None:
        """Starts the run's next attempt, unless this scraper has already accepted the entry."""
        if entry_id not in self._crawls:
            self._crawls[entry_id] = _Crawl(request)
            self._start_attempt(entry_id)

    def poll(self) -> None:
        """Handles ended crawl processes and starts the next attempt of crawls whose `retry_at` has passed."""
        for entry_id, crawl in list(self._crawls.items()):
            if crawl.process is None:
                if time.monotonic() >= crawl.retry_at:
                    self._start_attempt(entry_id)
            elif (status := crawl.process.poll()) is not None:
                self._handle_exit(entry_id, crawl, status)

    def update_metrics(self) -> None:
        CRAWLS_RUNNING.set(sum(crawl.process is not None for crawl in self._crawls.values()))
        for crawl in self._crawls.values():
            self._export_counts(crawl)

    def stop_cancelled(self) -> None:
        """Stops the crawls whose run a client has cancelled. A process that does not stop in time is killed."""
        for crawl in self._crawls.values():
            if crawl.process is None:
                continue
            if crawl.cancel_deadline is not None:
                if time.monotonic() > crawl.cancel_deadline:
                    crawl.process.kill()
            elif RunAttempt(self._redis, crawl.request.run_id).counts().cancelled:
                logger.info("crawl cancelled", run_id=crawl.request.run_id)
                crawl.process.send_signal(CANCEL_SIGNAL)
                crawl.cancel_deadline = time.monotonic() + 2 * self._settings.scraper_stop_seconds + 2

    def kill_all(self) -> None:
        """Kills the crawl processes and leaves their requests pending.

        Another scraper can claim each request and start its next attempt.
        """
        processes = [crawl.process for crawl in self._crawls.values() if crawl.process is not None]
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
        logger.info("crawls killed for handover", run_ids=[crawl.request.run_id for crawl in self._crawls.values()])

    def stop_all(self) -> None:
        """Terminates all crawl processes, waits for them, and acknowledges crawls with a published finish message."""
        for crawl in self._crawls.values():
            if crawl.process is not None:
                crawl.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 2 * self._settings.scraper_stop_seconds + 2
        for entry_id, crawl in list(self._crawls.items()):
            if crawl.process is None:
                continue
            try:
                crawl.process.wait(max(0.1, deadline - time.monotonic()))
                self._handle_exit(entry_id, crawl, crawl.process.returncode)
            except subprocess.TimeoutExpired:
                crawl.process.kill()
                crawl.process.wait()
            except RedisError as error:
                logger.warning("crawl not acknowledged", run_id=crawl.request.run_id, error=str(error))

    def _start_attempt(self, entry_id: str) -> None:
        crawl = self._crawls[entry_id]
        counts = crawl.exported_counts = RunAttempt(self._redis, crawl.request.run_id).counts()
        if counts.finished:  # the previous scraper died before the acknowledgement
            self._acknowledge_and_remove(entry_id)
        elif counts.cancelled:
            self._finish_cancelled(crawl.request)
            self._acknowledge_and_remove(entry_id)
        elif counts.attempt >= self._settings.scraper_attempts:
            self._abandon(crawl.request)
            self._acknowledge_and_remove(entry_id)
        else:
            crawl.process = self._spawn(crawl.request)

    def _spawn(self, request: CrawlRequest) -> "subprocess.Popen[bytes]":
        with traced(request.traceparent):
            logger.info("crawl process starting", run_id=request.run_id, source=request.source)
        module = "bookwheel_scraper.crawl.process"
        command = [sys.executable, "-m", module, "--parent", str(os.getpid()), "--request", request.model_dump_json()]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603 - our own module, no shell

    def _abandon(self, request: CrawlRequest) -> None:
        reason = f"the crawl process died {self._settings.scraper_attempts} times"
        logger.error("crawl abandoned", run_id=request.run_id, reason=reason)
        messages = RunMessages(request, request.traceparent)
        attempt = RunAttempt(self._redis, request.run_id)
        counts = attempt.start(messages.build_start(request.start_url or ""))
        attempt.finish(messages.build_abort(counts, reason))

    def _finish_cancelled(self, request: CrawlRequest) -> None:
        messages = RunMessages(request, request.traceparent)
        attempt = RunAttempt(self._redis, request.run_id)
        counts = attempt.start(messages.build_start(request.start_url or ""))
        attempt.finish(messages.build_cancelled(counts))

    def _handle_exit(self, entry_id: str, crawl: _Crawl, status: int) -> None:
        counts = self._export_counts(crawl)
        if counts.finished:
            CRAWL_PROCESSES.labels(self._source_label(crawl), "ended").inc()
            self._acknowledge_and_remove(entry_id)
        elif status == ExitStatus.TAKEN_OVER:
            del self._crawls[entry_id]
        else:
            CRAWL_PROCESSES.labels(self._source_label(crawl), "died").inc()
            logger.error("crawl process died", run_id=crawl.request.run_id, status=status, attempt=counts.attempt)
            crawl.process = None
            pause = 0.0 if counts.cancelled else 2.0 ** min(counts.attempt, 5) / 2
            crawl.retry_at = time.monotonic() + pause

    def _acknowledge_and_remove(self, entry_id: str) -> None:
        self._acknowledge(entry_id)
        del self._crawls[entry_id]

    def _export_counts(self, crawl: _Crawl) -> RunCounts:
        """Adds the crawl's progress since the last call to the metrics. Returns the run's counts."""
        counts = RunAttempt(self._redis, crawl.request.run_id).counts()
        exported_counts = crawl.exported_counts
        source = self._source_label(crawl)
        CRAWLED_PAGES.labels(source).inc(max(0, counts.pages - exported_counts.pages))
        PUBLISHED_ITEMS.labels(source).inc(max(0, counts.published - exported_counts.published))
        CRAWL_ERRORS.labels(source).inc(max(0, counts.errors - exported_counts.errors))
        crawl.exported_counts = counts
        return counts

    def _source_label(self, crawl: _Crawl) -> str:
        """The declared source, or `undeclared`, because a request must not create metric labels."""
        return crawl.request.source if crawl.request.source in self._sources else "undeclared"

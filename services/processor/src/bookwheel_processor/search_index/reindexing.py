"""Rebuilds the search index. Only one build runs at a time on all machines."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from bookwheel_contracts import ReindexJob, ReindexRequest, ReindexState
from bookwheel_contracts.redis_keys import REINDEX_LOCK_KEY, reindex_key
from bookwheel_contracts.reindexing import REINDEX_DAYS
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.search import IndexBuild, SearchError
from bookwheel_stores.streams import StreamEntry, StreamReader
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import LockError
from redis.lock import Lock
from sqlalchemy.exc import SQLAlchemyError

from bookwheel_processor.search_index.projection import Projection

_LOCK_SECONDS = 120.0  # a build that does not renew its lock in this time has died
_MAX_DELIVERIES = 3
_NICENESS = 10  # a build gets a tenth of the CPU time of a search on a busy processor
logger = get_logger(__name__)


class ReindexInProgressError(SearchError):
    """Another process is building the index."""


class Reindexing:
    """`open_build` creates the new index, `projection` fills it."""

    def __init__(self, redis: Redis, projection: Projection, open_build: Callable[[], IndexBuild]) -> None:
        self._redis = redis
        self._projection = projection
        self._open_build = open_build

    def run(self, *, timeout: float = 0.0) -> int:
        """Rebuild the index; return the number of books.

        Raises ReindexInProgressError if another build has not ended after `timeout` seconds, and the errors of
        `Projection.rebuild`. In these cases the current index stays.
        """
        with self._lock(timeout) as lock:
            return self._build(lock)

    def handle_requests(self, reader: StreamReader) -> int:
        """Handle the requests in the stream; return their number. Requests that are read together share one build."""
        try:
            with self._lock(0.0) as lock:
                entries = reader.claim(100) or reader.read(100)
                builds = [build for entry in entries if (build := self._parse_request(entry)) is not None]
                if builds:
                    self._run_requested(builds, lock)
                reader.acknowledge([entry.id for entry in entries])
                return len(builds)
        except ReindexInProgressError:
            return 0

    @contextmanager
    def _lock(self, timeout: float) -> Iterator[Lock]:
        lock = self._redis.lock(REINDEX_LOCK_KEY, timeout=_LOCK_SECONDS, thread_local=False)
        if not lock.acquire(blocking=timeout > 0, blocking_timeout=timeout or None):
            raise ReindexInProgressError("another process builds the index")
        try:
            yield lock
        finally:
            try:
                lock.release()
            except LockError:
                logger.warning("reindex lock expired before release")

    def _build(self, lock: Lock) -> int:
        """Build in a low-priority thread. Returns or raises only after the thread has ended."""
        stop = threading.Event()
        with ThreadPoolExecutor(1, "reindex") as background:
            # The thread is started before the build is submitted. An interrupt during the start loses the thread. The
            # lost thread would continue the build after the lock is released, and remove the index of the next build.
            background.submit(_lower_priority).result()
            try:
                return background.submit(self._build_in_thread, lock, stop).result()
            finally:
                stop.set()

    def _build_in_thread(self, lock: Lock, stop: threading.Event) -> int:
        renewed_at = time.monotonic()

        def on_progress() -> None:
            nonlocal renewed_at
            if stop.is_set():
                raise SearchError("the build was stopped")
            if time.monotonic() - renewed_at > _LOCK_SECONDS / 4:
                lock.reacquire()  # raises LockError if another process has it
                renewed_at = time.monotonic()

        try:
            with self._open_build() as build:
                return self._projection.rebuild(build, on_progress=on_progress)
        except LockError as error:
            raise ReindexInProgressError("another process builds the index") from error

    def _parse_request(self, entry: StreamEntry) -> ReindexJob | None:
        try:
            request = ReindexRequest.model_validate_json(entry.body)
        except ValidationError as error:
            logger.warning("reindex request invalid", entry_id=entry.id, error=str(error)[:500])
            return None
        build = ReindexJob(
            id=request.job_id,
            state=ReindexState.RUNNING,
            requested_at=request.requested_at,
            requested_by=request.requested_by,
            started_at=utc_now(),
        )
        if entry.deliveries > _MAX_DELIVERIES:
            self._save(build, state=ReindexState.FAILED, reason="the process that ran it died")
            return None
        return build

    def _run_requested(self, builds: list[ReindexJob], lock: Lock) -> None:
        for build in builds:
            self._save(build)
        try:
            books = self._build(lock)
        except (SearchError, SQLAlchemyError, OSError) as error:
            logger.error("reindexing failed", error=str(error)[:500])
            for build in builds:
                self._save(build, state=ReindexState.FAILED, reason=str(error)[:500], finished_at=utc_now())
            return
        for build in builds:
            self._save(build, state=ReindexState.COMPLETE, books=books, finished_at=utc_now())

    def _save(self, build: ReindexJob, **changes: object) -> None:
        body = build.model_copy(update=changes).model_dump_json()
        self._redis.set(reindex_key(build.id), body, ex=REINDEX_DAYS * 86_400)


def _lower_priority() -> None:
    """Lower the priority of the calling thread. On Linux each thread has its own priority."""
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))

"""Builds the search index anew, one build at a time over all machines."""

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

_LOCK_SECONDS = 120.0  # a builder that says nothing for so long is dead, and another may begin
_MOST_DELIVERIES = 3
_NICENESS = 10  # a tenth of a search's share of a processor that both want
logger = get_logger(__name__)


class ReindexInProgressError(SearchError):
    """Somebody else builds an index."""


class Reindexing:
    """`open_build` makes the new index; `projection` fills it."""

    def __init__(self, redis: Redis, projection: Projection, open_build: Callable[[], IndexBuild]) -> None:
        self._redis = redis
        self._projection = projection
        self._open_build = open_build

    def run(self, *, patience: float = 0.0) -> int:
        """Builds, checks and swaps; returns the number of books.

        Raises ReindexBusy where another build is not through after `patience` seconds, and the projection's errors:
        after any of them the old index goes on serving.
        """
        with self._turn(patience) as lock:
            return self._build(lock)

    def serve(self, reader: StreamReader) -> int:
        """Does what was asked for through the stream; returns how many builds that were. One asked for several times
        while none was running is done once."""
        try:
            with self._turn(0.0) as lock:
                entries = reader.claim(100) or reader.read(100)
                jobs = [job for entry in entries if (job := self._job(entry)) is not None]
                if jobs:
                    self._work(jobs, lock)
                reader.acknowledge([entry.id for entry in entries])
                return len(jobs)
        except ReindexInProgressError:
            return 0

    @contextmanager
    def _turn(self, patience: float) -> Iterator[Lock]:
        lock = self._redis.lock(REINDEX_LOCK_KEY, timeout=_LOCK_SECONDS, thread_local=False)
        if not lock.acquire(blocking=patience > 0, blocking_timeout=patience or None):
            raise ReindexInProgressError("another process builds the index")
        try:
            yield lock
        finally:
            try:
                lock.release()
            except LockError:
                logger.warning("the build's turn had ended before it")

    def _build(self, lock: Lock) -> int:
        """Build in a low-priority thread. Returns or raises only after the thread has ended."""
        stop = threading.Event()
        with ThreadPoolExecutor(1, "reindex") as background:
            # The thread is started before the build is submitted: an interrupt during the start loses the thread, which
            # would then build on after the lock is released and remove the next build's index.
            background.submit(_lower_priority).result()
            try:
                return background.submit(self._build_unhurried, lock, stop).result()
            finally:
                stop.set()

    def _build_unhurried(self, lock: Lock, stop: threading.Event) -> int:
        renewed = time.monotonic()

        def progress(_: int) -> None:
            nonlocal renewed
            if stop.is_set():
                raise SearchError("the build was broken off")
            if time.monotonic() - renewed > _LOCK_SECONDS / 4:
                lock.reacquire()  # raises LockError where another began in the meantime
                renewed = time.monotonic()

        try:
            with self._open_build() as build:
                return self._projection.rebuild(build, progress=progress)
        except LockError as error:
            raise ReindexInProgressError("another process began to build the index") from error

    def _job(self, entry: StreamEntry) -> ReindexJob | None:
        try:
            request = ReindexRequest.model_validate_json(entry.body)
        except ValidationError as error:
            logger.warning("a request to build the index can't be read", entry_id=entry.id, error=str(error)[:500])
            return None
        job = ReindexJob(
            id=request.job_id,
            state=ReindexState.RUNNING,
            requested_at=request.requested_at,
            requested_by=request.requested_by,
            started_at=utc_now(),
        )
        if entry.deliveries > _MOST_DELIVERIES:
            self._note(job, state=ReindexState.FAILED, reason="whoever began it ended before it did")
            return None
        return job

    def _work(self, jobs: list[ReindexJob], lock: Lock) -> None:
        for job in jobs:
            self._note(job)
        try:
            books = self._build(lock)
        except (SearchError, SQLAlchemyError, OSError) as error:
            logger.error("the index could not be built anew", error=str(error)[:500])
            for job in jobs:
                self._note(job, state=ReindexState.FAILED, reason=str(error)[:500], finished_at=utc_now())
            return
        for job in jobs:
            self._note(job, state=ReindexState.COMPLETE, books=books, finished_at=utc_now())

    def _note(self, job: ReindexJob, **news: object) -> None:
        body = job.model_copy(update=news).model_dump_json()
        self._redis.set(reindex_key(job.id), body, ex=REINDEX_DAYS * 86_400)


def _lower_priority() -> None:
    """Lower the calling thread's priority: on Linux each thread has its own."""
    os.setpriority(os.PRIO_PROCESS, 0, max(_NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))

"""Reads new entries of the change feed once for all listeners of this process."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from bookwheel_contracts.redis_keys import CHANGES_CHANNEL
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import FeedEntry, FeedReader
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from bookwheel_catalog.concurrency_limit import ConcurrencyLimiter

logger = get_logger(__name__)

POLL_SECONDS = 1.0
PAGE_SIZE = 500
_MAX_BUFFERED_ENTRIES = 5_000
_MAX_BUFFERED_BYTES = 32 << 20
_MAX_CONCURRENT_READS = 2
"""Database reads at a time for listeners that are behind the buffer."""


class ChangeBroadcaster:
    """Polls the feed while there are listeners: every second, and immediately after a Redis notification.

    A listener stores only its position in the feed and reads at its own speed: from the buffer, or from the database if
    the buffer starts later. A slow listener therefore needs no memory, and no listener misses or repeats a change.
    """

    def __init__(
        self,
        feed: FeedReader,
        redis: AsyncRedis,
        *,
        max_listeners: int,
        max_subject_listeners: int,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_stopping()` returns True while the server shuts down: listeners then stop."""
        self.is_stopping = is_stopping
        self._feed = feed
        self._redis = redis
        self._limiter = ConcurrencyLimiter("change streams", limit=max_listeners, subject_limit=max_subject_listeners)
        self._buffer: list[FeedEntry] = []
        self._buffer_bytes = 0
        self._buffer_start = 0
        """The sequence of the last entry before the buffer."""
        self._latest_sequence: int | None = None
        self._new_entries = asyncio.Event()
        self._notified = asyncio.Event()
        self._read_slots = asyncio.Semaphore(_MAX_CONCURRENT_READS)
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def register_listener(self, subject: str) -> AsyncIterator[None]:
        """Registers a listener for the duration of the context.

        Raises RateLimitedError if the subject has too many listeners, UnavailableError if the process has too many.
        """
        try:
            with self._limiter.acquire(subject):
                if not self._tasks:
                    self._tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._subscribe())]
                yield
        finally:
            if self._limiter.is_idle:
                self._stop()

    async def wait_for_entries(self, *, after: int, max_seconds: float) -> list[FeedEntry]:
        """Returns up to a page of entries after the sequence `after`, oldest first. Waits up to `max_seconds`.

        Raises SQLAlchemyError if the database is unavailable.
        """
        deadline = asyncio.get_running_loop().time() + max_seconds
        while self._latest_sequence is None or after >= self._latest_sequence:
            new_entries = self._new_entries
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await new_entries.wait()
            if not new_entries.is_set() or self.is_stopping():
                return []
        if after < self._buffer_start:
            async with self._read_slots:
                return await asyncio.to_thread(self._feed.read, after=after, limit=PAGE_SIZE)
        start = bisect_right(self._buffer, after, key=lambda entry: entry.sequence)
        return self._buffer[start : start + PAGE_SIZE]

    async def _poll(self) -> None:
        while True:
            count = 0
            try:
                if self._latest_sequence is None:
                    self._latest_sequence = self._buffer_start = await asyncio.to_thread(self._feed.head)
                    self._wake_listeners()
                entries = await asyncio.to_thread(self._feed.read, after=self._latest_sequence, limit=PAGE_SIZE)
                count = len(entries)
                if entries:
                    self._add(entries)
            except SQLAlchemyError as error:
                logger.warning("change feed unavailable", error=str(error)[:500])
            if count or self.is_stopping():
                self._wake_listeners()
            if count < PAGE_SIZE:
                await self._wait_for_notification()

    def _wake_listeners(self) -> None:
        self._new_entries.set()
        self._new_entries = asyncio.Event()

    def _add(self, entries: list[FeedEntry]) -> None:
        self._buffer += entries
        self._buffer_bytes += sum(entry.size for entry in entries)
        self._latest_sequence = entries[-1].sequence
        dropped_count = 0
        while len(self._buffer) - dropped_count > _MAX_BUFFERED_ENTRIES or self._buffer_bytes > _MAX_BUFFERED_BYTES:
            self._buffer_bytes -= self._buffer[dropped_count].size
            self._buffer_start = self._buffer[dropped_count].sequence
            dropped_count += 1
        del self._buffer[:dropped_count]

    async def _wait_for_notification(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._notified.wait()
        self._notified.clear()

    async def _subscribe(self) -> None:
        """Wakes `_poll` on a Redis notification. `_poll` runs every second while Redis is unavailable."""
        while True:
            try:
                async with self._redis.pubsub() as subscription:
                    await subscription.subscribe(CHANGES_CHANNEL)
                    while True:
                        if await subscription.get_message(ignore_subscribe_messages=True, timeout=POLL_SECONDS * 30):
                            self._notified.set()
            except (RedisError, OSError):
                await asyncio.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._buffer, self._buffer_bytes, self._latest_sequence = [], 0, None

"""Reads the end of the change feed once for all listeners of this process."""

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
PAGE = 500
_MAX_BUFFERED_ENTRIES = 5_000
_MAX_BUFFERED_BYTES = 32 << 20
_MAX_READS = 2
"""Concurrent reads of pages for listeners who are behind the buffer."""


class ChangeBroadcaster:
    """Polls the feed while anyone listens: once a second, and at once when Redis announces changes.

    A listener holds only its position in the feed and reads at its own speed: from the buffer, or from the records if
    it is further behind. So a slow listener costs no memory, and none misses or repeats a change.
    """

    def __init__(
        self,
        feed: FeedReader,
        redis: AsyncRedis,
        *,
        listeners: int,
        subject_listeners: int,
        is_stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """`is_stopping` is whether the server shuts down: listeners then leave."""
        self.is_stopping = is_stopping
        self._feed = feed
        self._redis = redis
        self._limiter = ConcurrencyLimiter("change streams", limit=listeners, subject_limit=subject_listeners)
        self._buffer: list[FeedEntry] = []
        self._buffer_bytes = 0
        self._buffer_start = 0
        """The sequence after which the buffer begins."""
        self._head: int | None = None
        self._changed = asyncio.Event()
        self._announced = asyncio.Event()
        self._reads = asyncio.Semaphore(_MAX_READS)
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def listening(self, subject: str) -> AsyncIterator[None]:
        """Held by a listener while it listens. Raises RateLimitedError or UnavailableError for too many listeners."""
        try:
            with self._limiter.acquire(subject):
                if not self._tasks:
                    self._tasks = [asyncio.create_task(self._poll()), asyncio.create_task(self._subscribe())]
                yield
        finally:
            if self._limiter.is_idle:
                self._stop()

    async def after(self, position: int, *, seconds: float) -> list[FeedEntry]:
        """Up to a page of entries after `position`, oldest first. Waits up to `seconds` for the first one.

        Raises SQLAlchemyError while the records are unavailable.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self._head is None or position >= self._head:
            changed = self._changed
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await changed.wait()
            if not changed.is_set() or self.is_stopping():
                return []
        if position < self._buffer_start:
            async with self._reads:
                return await asyncio.to_thread(self._feed.read, after=position, limit=PAGE)
        first = bisect_right(self._buffer, position, key=lambda entry: entry.sequence)
        return self._buffer[first : first + PAGE]

    async def _poll(self) -> None:
        while True:
            count = 0
            try:
                if self._head is None:
                    self._head = self._buffer_start = await asyncio.to_thread(self._feed.head)
                    self._wake_listeners()
                entries = await asyncio.to_thread(self._feed.read, after=self._head, limit=PAGE)
                count = len(entries)
                if entries:
                    self._add(entries)
            except SQLAlchemyError as error:
                logger.warning("records unavailable: change streams wait", error=str(error)[:500])
            if count or self.is_stopping():
                self._wake_listeners()
            if count < PAGE:
                await self._wait_for_announcement()

    def _wake_listeners(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _add(self, entries: list[FeedEntry]) -> None:
        self._buffer += entries
        self._buffer_bytes += sum(entry.size for entry in entries)
        self._head = entries[-1].sequence
        dropped = 0
        while len(self._buffer) - dropped > _MAX_BUFFERED_ENTRIES or self._buffer_bytes > _MAX_BUFFERED_BYTES:
            self._buffer_bytes -= self._buffer[dropped].size
            self._buffer_start = self._buffer[dropped].sequence
            dropped += 1
        del self._buffer[:dropped]

    async def _wait_for_announcement(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._announced.wait()
        self._announced.clear()

    async def _subscribe(self) -> None:
        """Wakes `_poll` when Redis announces changes. Without Redis, it polls once a second."""
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANGES_CHANNEL)
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=POLL_SECONDS * 30):
                            self._announced.set()
            except (RedisError, OSError):
                await asyncio.sleep(POLL_SECONDS)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._buffer, self._buffer_bytes, self._head = [], 0, None

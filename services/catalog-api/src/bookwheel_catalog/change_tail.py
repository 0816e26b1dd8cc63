"""The end of the change feed, read once for all who listen to it."""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bookwheel_contracts.redis_keys import CHANGES_CHANNEL
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import FeedEntry, FeedReader
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette.sse import AppStatus

from bookwheel_catalog.concurrency_limit import Places

POLL_SECONDS = 1.0
PAGE = 500
_KEPT_ENTRIES = 5_000
_KEPT_BYTES = 32 << 20
_READERS = 2
"""Pages that are read at a time for listeners who are further back than what is kept."""
_log = get_logger(__name__)


class ChangeTail:
    """Reads the feed's end while anyone listens: when Redis tells of changes, and each second whether it does or not.

    A listener holds nothing but its place in the feed and takes what follows it at its own speed, from what is kept
    here or, further back, from the records. So a slow one costs no memory, and none misses or repeats a change.
    """

    def __init__(self, feed: FeedReader, redis: AsyncRedis, *, listeners: int, listeners_of_subject: int) -> None:
        self._feed = feed
        self._redis = redis
        self._places = Places("change streams", most=listeners, most_of_subject=listeners_of_subject)
        self._kept: list[FeedEntry] = []
        self._kept_bytes = 0
        self._start = 0
        self._head: int | None = None
        self._grown = asyncio.Event()
        self._told = asyncio.Event()
        self._readers = asyncio.Semaphore(_READERS)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_closing(self) -> bool:
        """Whether the server is being stopped: listeners should leave."""
        return AppStatus.should_exit

    @asynccontextmanager
    async def listening(self, subject: str) -> AsyncIterator[None]:
        """Held by a listener for as long as it listens. Raises RateLimited or Unavailable where there are too many."""
        try:
            with self._places.taken(subject):
                if not self._tasks:
                    self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._hear())]
                yield
        finally:
            if self._places.are_free:
                self._rest()

    async def after(self, position: int, *, seconds: float) -> list[FeedEntry]:
        """What follows `position`, oldest first, up to a page of it; waits for `seconds` while there is nothing.

        Raises SQLAlchemyError while the records are away.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while self._head is None or position >= self._head:
            grown = self._grown
            with suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await grown.wait()
            if not grown.is_set() or self.is_closing:
                return []
        if position < self._start:
            async with self._readers:
                return await asyncio.to_thread(self._feed.read, after=position, limit=PAGE)
        first = bisect_right(self._kept, position, key=lambda entry: entry.sequence)
        return self._kept[first : first + PAGE]

    async def _follow(self) -> None:
        while True:
            read = 0
            try:
                if self._head is None:
                    self._head = self._start = await asyncio.to_thread(self._feed.head)
                    self._wake()
                entries = await asyncio.to_thread(self._feed.read, after=self._head, limit=PAGE)
                read = len(entries)
                if entries:
                    self._keep(entries)
            except SQLAlchemyError as error:
                _log.warning("the records are away: listeners wait", error=str(error)[:500])
            if read or self.is_closing:
                self._wake()
            if read < PAGE:
                await self._wait()

    def _wake(self) -> None:
        self._grown.set()
        self._grown = asyncio.Event()

    def _keep(self, entries: list[FeedEntry]) -> None:
        self._kept += entries
        self._kept_bytes += sum(entry.size for entry in entries)
        self._head = entries[-1].sequence
        gone = 0
        while len(self._kept) - gone > _KEPT_ENTRIES or self._kept_bytes > _KEPT_BYTES:
            self._kept_bytes -= self._kept[gone].size
            self._start = self._kept[gone].sequence
            gone += 1
        del self._kept[:gone]

    async def _wait(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._told.wait()
        self._told.clear()

    async def _hear(self) -> None:
        """Wakes the reader whenever Redis tells of changes; without Redis it reads once a second."""
        while True:
            try:
                async with self._redis.pubsub() as channel:
                    await channel.subscribe(CHANGES_CHANNEL)
                    while True:
                        if await channel.get_message(ignore_subscribe_messages=True, timeout=POLL_SECONDS * 30):
                            self._told.set()
            except (RedisError, OSError):
                await asyncio.sleep(POLL_SECONDS)

    def _rest(self) -> None:
        """Nobody listens: nothing is read, and nothing kept."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        self._kept, self._kept_bytes, self._head = [], 0, None

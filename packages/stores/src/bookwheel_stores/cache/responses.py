"""Caches responses for one index generation."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bookwheel_contracts.redis_keys import GENERATION_KEY
from cachetools import LRUCache
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 1.0
"""A cached response that takes longer is slower than a search."""
_RETRY_SECONDS = 1.0
"""Time after a failure in which Redis is not called."""
_LOCK_MS = 1000
"""Time in which another process may compute a response before this process computes it too."""
_POLL_SECONDS = 0.005
_RESPONSE_TTL_SECONDS = 600
_REPEAT_WINDOW_SECONDS = 60
"""A response is stored in Redis at its second request in this time."""
_LOCAL_CACHE_BYTES = 16 << 20
_MAX_LOCAL_ENTRY_BYTES = 1 << 20
"""A larger response would evict too many other responses."""

# All keys have the hash tag of the generation's key, so a Redis Cluster stores them on one node.
_PREFIX = "{" + GENERATION_KEY + "}:"
# States of a response in one generation. The stored values are compatible with earlier releases.
_COMPUTING, _AWAITED, _COMPUTED_ONCE = b"", b"wanted", b"met"

Command = Callable[[Pipeline], object]
Compute = Callable[[int | None], Awaitable[bytes]]
"""Computes a response from an index of at least this generation; None if the generation is unknown."""


def connect_redis_with_short_timeouts(url: str) -> Redis:
    """Returns a client with short timeouts, because a response without the cache is better than a late response."""
    return Redis.from_url(url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS)


class ResponseCache:
    """Caches each response for one index generation, so that no response is stale.

    Concurrent requests for a key are coalesced ("single flight"): in this process they await one task; other processes
    wait up to one second for a lock in Redis. Responses are cached in this process. They are stored in Redis at the
    second request or if another process waits, because most searches are requested once. Without Redis, every response
    is computed.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = _BatchingClient(redis)
        self._generation: int | None = None
        self._local: LRUCache[str, tuple[int, bytes]] = LRUCache(
            _LOCAL_CACHE_BYTES, getsizeof=lambda entry: len(entry[1])
        )
        self._tasks: dict[tuple[str, int], asyncio.Task[tuple[bytes, int | None]]] = {}
        self._unlocking: set[asyncio.Task[None]] = set()
        self._retry_at = 0.0

    async def generation(self) -> int | None:
        """Returns 0 before the first projection, None while Redis is unavailable."""
        results = await self._try(lambda pipe: pipe.get(GENERATION_KEY))
        self._generation = None if results is None else int(results[0] or 0)
        return self._generation

    async def get_or_compute(self, key: str, compute: Compute) -> tuple[bytes, int | None]:
        """Returns the response and its generation; the generation is None if it is unknown."""
        generation = self._generation
        if not generation or key in self._local or (key, generation) in self._tasks:
            generation = await self.generation()
            if not generation:
                return await compute(generation), None
            local = self._local.get(key)
            if local is not None and local[0] == generation:
                return local[1], generation
        task = self._tasks.get((key, generation))
        if task is None:
            task = asyncio.create_task(self._load_or_compute(key, generation, compute))
            self._tasks[key, generation] = task
            task.add_done_callback(lambda _: self._tasks.pop((key, generation)))
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Waits for the responses in progress, and disconnects."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await asyncio.gather(*self._unlocking)
        await self._redis.close()

    async def _load_or_compute(self, key: str, last_generation: int, compute: Compute) -> tuple[bytes, int | None]:
        generation, body, was_requested_before = await self._load_or_lock(key, last_generation)
        if not generation:
            return await compute(generation), None
        if body is None:
            body = await self._compute(key, generation, compute, store=was_requested_before)
        if len(body) <= _MAX_LOCAL_ENTRY_BYTES:
            self._local[key] = (generation, body)
        return body, generation

    async def _load_or_lock(self, key: str, last_generation: int) -> tuple[int | None, bytes | None, bool]:
        """Returns the generation, the stored response or None, and whether the response was requested before.

        Most calls take one round trip: the generation is read together with the response and the lock of the last known
        generation.
        """
        generation: int | None = last_generation
        deadline = time.monotonic() + _LOCK_MS / 1000
        is_awaited = False  # if true, the process with the lock stores the response
        while generation and time.monotonic() < deadline:
            current, entry, previous = await self._read_or_lock(key, generation)
            if current != generation:
                generation = current
                continue
            stored_generation, _, body = (entry or b"").partition(b"\n")
            if stored_generation == b"%d" % generation:
                return generation, body, True
            if previous == _COMPUTING:
                previous = await self._request_storage(key, generation)
            if previous is None or (previous == _COMPUTED_ONCE and not is_awaited):
                return generation, None, previous == _COMPUTED_ONCE
            is_awaited = True
            await asyncio.sleep(_POLL_SECONDS)
        return generation, None, True

    async def _read_or_lock(self, key: str, generation: int) -> tuple[int | None, bytes | None, bytes | None]:
        """Returns the current generation, the stored entry, and the state before the attempt to lock."""
        state = _state_key(key, generation)
        results = await self._try(
            lambda pipe: pipe.get(GENERATION_KEY),
            lambda pipe: pipe.get(_PREFIX + key),
            lambda pipe: pipe.set(state, _COMPUTING, nx=True, get=True, px=_LOCK_MS),
        )
        current, entry, previous = results or (None, None, None)
        self._generation = None if results is None else int(current or 0)
        return self._generation, entry, previous

    async def _request_storage(self, key: str, generation: int) -> bytes | None:
        """Requests that the process with the lock stores its response. Returns the state before the request."""
        state = _state_key(key, generation)
        results = await self._try(lambda pipe: pipe.set(state, _AWAITED, xx=True, get=True, keepttl=True))
        return results[0] if results else None

    async def _compute(self, key: str, generation: int, compute: Compute, *, store: bool) -> bytes:
        try:
            body = await compute(generation)
        except BaseException:
            await self._try(lambda pipe: pipe.delete(_state_key(key, generation)))
            raise
        task = asyncio.create_task(self._unlock(key, generation, body, store=store))
        self._unlocking.add(task)
        task.add_done_callback(self._unlocking.discard)
        return body

    async def _unlock(self, key: str, generation: int, body: bytes, *, store: bool) -> None:
        """Releases the lock. Stores the response if `store` is true or if another process waits for it."""
        state = _state_key(key, generation)
        results = await self._try(lambda pipe: pipe.set(state, _COMPUTED_ONCE, get=True, ex=_REPEAT_WINDOW_SECONDS))
        if results and (store or results == [_AWAITED]):
            entry = b"%d\n%b" % (generation, body)
            await self._try(lambda pipe: pipe.set(_PREFIX + key, entry, ex=_RESPONSE_TTL_SECONDS))

    async def _try(self, *commands: Command) -> list[Any] | None:
        """Returns the results; None if Redis is unavailable, or was a moment ago."""
        if time.monotonic() < self._retry_at:
            return None
        try:
            return await self._redis.execute(*commands)
        except (RedisError, OSError) as error:
            if time.monotonic() > self._retry_at + _RETRY_SECONDS:
                logger.warning("response cache unavailable: %s", error)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return None


class _BatchingClient:
    """Sends all waiting commands in one pipeline, because most of the time of redis-py is per call."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[tuple[Command, ...], asyncio.Future[list[Any]]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def execute(self, *commands: Command) -> list[Any]:
        """Raises RedisError or OSError."""
        results: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting.append((commands, results))
        if self._sending is None:
            self._sending = asyncio.create_task(self._send())
        return await results

    async def close(self) -> None:
        await self._redis.aclose()

    async def _send(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for commands, _ in batch:
                        for command in commands:
                            command(pipe)
                    values = await pipe.execute()
            except Exception as error:  # noqa: BLE001 - raised in each caller
                for _, results in batch:
                    if not results.done():
                        results.set_exception(error)
                continue
            for commands, results in batch:
                if not results.done():
                    results.set_result(values[: len(commands)])
                del values[: len(commands)]
        self._sending = None


def _state_key(key: str, generation: int) -> str:
    return f"{_PREFIX}{key}:{generation}"

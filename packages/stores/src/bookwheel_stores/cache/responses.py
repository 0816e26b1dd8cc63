"""Answers kept in Redis for as long as the index stays as it is."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import RedisError

from bookwheel_stores.cache.generation import GENERATION_KEY

logger = logging.getLogger(__name__)

_MAKING_MS = 1000  # how long another process may take to make an answer before this one makes it too
_POLL_SECONDS = 0.005
_RETRY_SECONDS = 1.0  # a Redis that is away is left alone for so long
_CACHE_SECONDS = 600
_MINE, _OTHERS = b"mine", b"others"

# The entries' keys share a hash tag with the generation's, so that a Redis Cluster runs this on one node.
_PREFIX = "{" + GENERATION_KEY + "}:"
_LOOK_UP = """
local generation = redis.call('GET', KEYS[1]) or '0'
local answers = {generation}
for i = 2, #KEYS do
    local entry = redis.call('GET', KEYS[i])
    if entry and string.sub(entry, 1, #generation + 1) == generation .. '\\n' then
        answers[i] = entry
    elseif redis.call('SET', KEYS[i] .. ':' .. generation, '', 'NX', 'PX', ARGV[1]) then
        answers[i] = 'mine'
    else
        answers[i] = 'others'
    end
end
return answers
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis says of a key. `generation` is 0 where nothing was projected, None while Redis is away."""

    generation: int | None
    body: bytes | None = None
    mine_to_make: bool = True


Make = Callable[[int | None], Awaitable[bytes]]
"""Makes an answer from an index that is at least of the given generation (None: unknown, so as new as can be)."""


class ResponseCache:
    """Looks up, makes and keeps answers under the generation of the index, so that none is ever stale.

    One round trip a look-up, shared by all requests that wait at the time. Concurrent misses of a key make its answer
    once: in this process by joining, in others by waiting up to a second. Without Redis every answer is made anew.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._script = redis.register_script(_LOOK_UP)
        self._waiting: list[tuple[str, asyncio.Future[Found]]] = []
        self._looking: asyncio.Task[None] | None = None
        self._making: dict[tuple[str, int], asyncio.Task[bytes]] = {}
        self._made: list[tuple[str, int, bytes | None]] = []
        self._keeping: asyncio.Task[None] | None = None
        self._away_until = 0.0

    async def generation(self) -> int | None:
        """0 where nothing was projected, None while Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            found = await self._redis.get(GENERATION_KEY)
        except (RedisError, OSError) as error:
            self._note_absence(error)
            return None
        return int(found or 0)

    async def answer(self, key: str, make: Make) -> tuple[bytes, int | None]:
        """The answer of a key, and the generation that it is current for (None where that can't be told)."""
        found = await self._look_up(key)
        deadline = time.monotonic() + _MAKING_MS / 1000
        while found.body is None and found.generation:
            flight = (key, found.generation)
            if flight not in self._making and (found.mine_to_make or time.monotonic() > deadline):
                self._making[flight] = asyncio.create_task(self._make(key, found.generation, make))
            if flight in self._making:
                return await asyncio.shield(self._making[flight]), found.generation
            await asyncio.sleep(_POLL_SECONDS)
            found = await self._look_up(key)
        if found.body is not None:
            return found.body, found.generation
        return await make(found.generation), None

    async def close(self) -> None:
        if self._keeping is not None:
            await self._keeping
        await self._redis.aclose()

    async def _make(self, key: str, generation: int, make: Make) -> bytes:
        """A task of its own: a request that is given up takes no other one with it."""
        body: bytes | None = None
        try:
            body = await make(generation)
            return body
        finally:
            del self._making[key, generation]
            self._made.append((_PREFIX + key, generation, body))
            if self._keeping is None:
                self._keeping = asyncio.create_task(self._keep_made())

    async def _keep_made(self) -> None:
        """One round trip after the other, each for all answers made by its start; those that failed free their key."""
        while self._made:
            batch, self._made = self._made, []
            try:
                async with self._redis.pipeline(transaction=False) as pipe:
                    for name, generation, body in batch:
                        if body is not None:
                            pipe.set(name, b"%d\n%b" % (generation, body), ex=_CACHE_SECONDS)
                    pipe.delete(*(f"{name}:{generation}" for name, generation, _ in batch))
                    await pipe.execute()
            except (RedisError, OSError) as error:
                self._note_absence(error)
        self._keeping = None

    async def _look_up(self, key: str) -> Found:
        if time.monotonic() < self._away_until:
            return Found(None)
        waiting: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, waiting))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_up_waiting())
        return await waiting

    async def _look_up_waiting(self) -> None:
        """One round trip after the other, each for all keys that wait at its start."""
        while self._waiting:
            batch, self._waiting = self._waiting, []
            keys = list(dict.fromkeys(key for key, _ in batch))
            try:
                answer = await self._script(keys=[GENERATION_KEY, *(_PREFIX + key for key in keys)], args=[_MAKING_MS])
                found = _read(keys, answer)
            except (RedisError, OSError) as error:
                self._note_absence(error)
                found = dict.fromkeys(keys, Found(None))
            for key, waiting in batch:
                if not waiting.done():
                    waiting.set_result(found[key])
                    # of several requests with one key, only the first is to make the answer
                    if found[key].body is None and found[key].generation:
                        found[key] = Found(found[key].generation, None, mine_to_make=False)
        self._looking = None

    def _note_absence(self, error: Exception) -> None:
        if time.monotonic() > self._away_until + _RETRY_SECONDS:
            logger.warning("answers are not cached: Redis is away (%s)", error)
        self._away_until = time.monotonic() + _RETRY_SECONDS


def _read(keys: list[str], answer: list[bytes]) -> dict[str, Found]:
    generation = int(answer[0])
    found = {}
    for key, entry in zip(keys, answer[1:], strict=True):
        if entry in {_MINE, _OTHERS}:
            found[key] = Found(generation, None, mine_to_make=entry == _MINE)
        else:
            found[key] = Found(generation, entry.partition(b"\n")[2])
    return found

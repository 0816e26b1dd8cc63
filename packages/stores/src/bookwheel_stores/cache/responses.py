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
_WRITE_SECONDS = 0.002  # what was made waits so long for a look-up that takes it along
_MINE, _OTHERS = b"mine", b"others"

# The entries' keys share a hash tag with the generation's, so that a Redis Cluster runs this on one node.
_PREFIX = "{" + GENERATION_KEY + "}:"
_EXCHANGE = """
local made = tonumber(ARGV[3])
for i = 1, made do
    local name, generation, entry = KEYS[1 + i], ARGV[2 + 2 * i], ARGV[3 + 2 * i]
    if entry ~= '' then redis.call('SET', name, entry, 'EX', ARGV[2]) end
    redis.call('DEL', name .. ':' .. generation)
end
local generation = redis.call('GET', KEYS[1]) or '0'
local answers = {generation}
for i = 2 + made, #KEYS do
    local entry = redis.call('GET', KEYS[i])
    if entry and string.sub(entry, 1, #generation + 1) == generation .. '\\n' then
        answers[#answers + 1] = entry
    elseif generation == '0' or redis.call('SET', KEYS[i] .. ':' .. generation, '', 'NX', 'PX', ARGV[1]) then
        answers[#answers + 1] = 'mine'
    else
        answers[#answers + 1] = 'others'
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

    One round trip at a time, shared by all requests that wait then; answers made meanwhile go along. Concurrent misses
    of a key make its answer once: in this process by joining, in others by waiting up to a second. Without Redis every
    answer is made anew.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: list[tuple[str, asyncio.Future[Found]]] = []
        self._made: list[tuple[str, int, bytes | None]] = []
        self._making: dict[tuple[str, int], asyncio.Task[bytes]] = {}
        self._exchanging: asyncio.Task[None] | None = None
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
        """Stores what was made, and disconnects."""
        if self._made:
            self._exchange_soon()
        if self._exchanging is not None:
            await self._exchanging
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
            asyncio.get_running_loop().call_later(_WRITE_SECONDS, self._exchange_soon)

    async def _look_up(self, key: str) -> Found:
        if time.monotonic() < self._away_until:
            return Found(None)
        waiting: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        self._waiting.append((key, waiting))
        self._exchange_soon()
        return await waiting

    def _exchange_soon(self) -> None:
        if self._exchanging is None and (self._waiting or self._made):
            self._exchanging = asyncio.create_task(self._exchange())

    async def _exchange(self) -> None:
        """One round trip after the other, each for all that waits at its start."""
        while self._waiting or self._made:
            waiting, self._waiting = self._waiting, []
            made, self._made = self._made, []
            found = await self._ask(list(dict.fromkeys(key for key, _ in waiting)), made)
            for key, request in waiting:
                if not request.done():
                    request.set_result(found[key])
                    # of several requests with one key, only the first is to make the answer
                    if found[key].body is None and found[key].generation:
                        found[key] = Found(found[key].generation, None, mine_to_make=False)
        self._exchanging = None

    async def _ask(self, keys: list[str], made: list[tuple[str, int, bytes | None]]) -> dict[str, Found]:
        names = [GENERATION_KEY, *(name for name, _, _ in made), *(_PREFIX + key for key in keys)]
        values: list[bytes | int] = [_MAKING_MS, _CACHE_SECONDS, len(made)]
        for _, generation, body in made:
            values += [generation, b"" if body is None else b"%d\n%b" % (generation, body)]
        try:
            return _read(keys, await self._redis.eval(_EXCHANGE, len(names), *names, *values))
        except (RedisError, OSError) as error:
            self._note_absence(error)
            return dict.fromkeys(keys, Found(None))

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

"""Answers kept for as long as the index stays as it is."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain

from bookwheel_contracts.redis_keys import GENERATION_KEY
from redis.asyncio import Redis
from redis.exceptions import RedisError

from bookwheel_stores.cache.connection import KeptConnection
from bookwheel_stores.cache.local_cache import LocalCache

logger = logging.getLogger(__name__)

_MAKING_MS = 1000  # how long another process may take to make an answer before this one makes it too
_POLL_SECONDS = 0.005
_RETRY_SECONDS = 1.0  # a Redis that is away is left alone for so long
_CACHE_SECONDS = 600
_MET_SECONDS = 60  # a key that is asked for again within so long is worth a place in Redis
_WRITE_SECONDS = 0.002  # what was made waits so long for a look-up that takes it along
_MINE, _AGAIN, _OTHERS = b"mine", b"again", b"others"

# The entries' keys share a hash tag with the generation's, so that a Redis Cluster runs this on one node.
# Beside an entry's key stands its state under a generation: empty while it is made for the first time, `wanted` if
# others wait for that, `met` once it was made, `again` while it is made to be kept.
_PREFIX = "{" + GENERATION_KEY + "}:"
_EXCHANGE = """
local made = tonumber(ARGV[4])
local answers = {redis.call('GET', KEYS[1]) or '0'}
for i = 1, made do
    local name, outcome, entry = KEYS[1 + i], ARGV[3 + 2 * i], ARGV[4 + 2 * i]
    local state = name .. ':' .. string.match(entry, '^%d+')
    local wanted = 0
    if outcome == 'failed' then
        redis.call('DEL', state)
    elseif outcome == 'kept' then
        redis.call('SET', name, entry, 'EX', ARGV[2])
        redis.call('DEL', state)
    elseif redis.call('GET', state) == 'wanted' then
        wanted = 1
    else
        redis.call('SET', state, 'met', 'EX', ARGV[3])
    end
    answers[1 + i] = wanted
end
local generation = answers[1]
for i = 2 + made, #KEYS do
    local state = KEYS[i] .. ':' .. generation
    local entry = redis.call('GET', KEYS[i])
    if entry and string.sub(entry, 1, #generation + 1) == generation .. '\\n' then
        answers[i] = entry
    elseif generation == '0' or redis.call('SET', state, '', 'NX', 'PX', ARGV[1]) then
        answers[i] = 'mine'
    elseif redis.call('GET', state) == 'met' then
        redis.call('SET', state, 'again', 'PX', ARGV[1])
        answers[i] = 'again'
    else
        if redis.call('GET', state) == '' then redis.call('SET', state, 'wanted', 'KEEPTTL') end
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
    state: bytes = _MINE


class Outcome(StrEnum):
    FAILED = "failed"
    MET = "met"  # nobody else asked for it yet
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Made:
    """An answer that this process made. Its body goes to Redis only where `outcome` is `KEPT`."""

    key: str
    generation: int
    outcome: Outcome
    body: bytes = b""

    def values(self) -> tuple[str, bytes]:
        return self.outcome, b"%d\n%b" % (self.generation, self.body if self.outcome is Outcome.KEPT else b"")


Make = Callable[[int | None], bytes | Awaitable[bytes]]
"""Makes an answer, at once or not, from an index that is at least of the given generation (None: unknown, so as new as
can be)."""


class ResponseCache:
    """Looks up, makes and keeps answers under the generation of the index, so that none is ever stale.

    One round trip at a time, shared by all requests that wait then; answers made meanwhile go along. Concurrent misses
    of a key make its answer once: in this process by joining, in others by waiting up to a second. Without Redis every
    answer is made anew. Most searches are asked for once: this process remembers their answers, and only those that are
    asked for again elsewhere, or are waited for, go to Redis.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._connection = KeptConnection(redis)
        self._waiting: list[tuple[str | None, asyncio.Future[Found]]] = []
        self._made: list[Made] = []
        self._making: dict[tuple[str, int], asyncio.Task[bytes]] = {}
        self._remembered = LocalCache()
        self._exchanging: asyncio.Task[None] | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._away_until = 0.0

    async def generation(self) -> int | None:
        """0 where nothing was projected, None while Redis is away."""
        return (await self._look_up(None)).generation

    async def answer(self, key: str, make: Make) -> tuple[bytes, int | None]:
        """The answer of a key, and the generation that it is current for (None where that can't be told)."""
        if key in self._remembered:
            generation = await self.generation()
            remembered = self._remembered.get(key, generation)
            if remembered is not None:
                return remembered, generation
        found = await self._look_up(key)
        deadline = time.monotonic() + _MAKING_MS / 1000
        while found.body is None and found.generation:
            remembered = self._remembered.get(key, found.generation)
            if remembered is not None:  # another request that asked in the same exchange has made it
                return remembered, found.generation
            flight = (key, found.generation)
            if flight not in self._making and (found.state != _OTHERS or time.monotonic() > deadline):
                planned = Made(key, found.generation, Outcome.KEPT if found.state == _AGAIN else Outcome.MET)
                made = self._begin(planned, make)
                if made is not None:
                    return made, found.generation
            if flight in self._making:
                return await asyncio.shield(self._making[flight]), found.generation
            await asyncio.sleep(_POLL_SECONDS)
            found = await self._look_up(key)
        if found.body is not None and found.generation:
            self._remembered.add(key, found.generation, found.body)
            return found.body, found.generation
        made_now = make(found.generation)
        return made_now if isinstance(made_now, bytes) else await made_now, None

    async def close(self) -> None:
        """Stores what was made, and disconnects."""
        if self._made:
            self._exchange_soon()
        if self._exchanging is not None:
            await self._exchanging
        await self._connection.close()
        await self._redis.aclose()

    def _begin(self, planned: Made, make: Make) -> bytes | None:
        """The answer, where it is made at once; else a task makes it: a request that is given up takes no other one
        with it."""
        outcome: bytes | Awaitable[bytes] | None = None
        try:
            outcome = make(planned.generation)
        finally:
            if not isinstance(outcome, Awaitable):
                self._end(planned, outcome)
        if isinstance(outcome, bytes):
            return outcome
        self._making[planned.key, planned.generation] = asyncio.create_task(self._make(planned, outcome))
        return None

    async def _make(self, planned: Made, making: Awaitable[bytes]) -> bytes:
        body = None
        try:
            body = await making
            return body
        finally:
            del self._making[planned.key, planned.generation]
            self._end(planned, body)

    def _end(self, planned: Made, body: bytes | None) -> None:
        """Remembers what was made, and has Redis told of it; of a failure (None) too."""
        if body is None:
            self._made.append(replace(planned, outcome=Outcome.FAILED))
        else:
            self._remembered.add(planned.key, planned.generation, body)
            self._made.append(Made(planned.key, planned.generation, planned.outcome, body))
        if self._writing is None:
            self._writing = asyncio.get_running_loop().call_later(_WRITE_SECONDS, self._write)

    def _write(self) -> None:
        self._writing = None
        self._exchange_soon()

    async def _look_up(self, key: str | None) -> Found:
        """Without a key, the generation alone."""
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
            found = await self._ask(list(dict.fromkeys(key for key, _ in waiting if key is not None)), made)
            for key, request in waiting:
                if not request.done():
                    request.set_result(found[key])
                    # of several requests with one key, only the first is to make the answer
                    if key is not None and found[key].body is None and found[key].generation:
                        found[key] = Found(found[key].generation, None, _OTHERS)
        self._exchanging = None

    async def _ask(self, keys: list[str], made: list[Made]) -> dict[str | None, Found]:
        try:
            if not keys and not made:
                return {None: Found(int(await self._connection.call("GET", GENERATION_KEY) or 0))}
            names = [GENERATION_KEY, *(_PREFIX + each.key for each in made), *(_PREFIX + key for key in keys)]
            values: list[int | str | bytes] = [_MAKING_MS, _CACHE_SECONDS, _MET_SECONDS, len(made)]
            values += chain.from_iterable(each.values() for each in made)
            answer = await self._connection.run(_EXCHANGE, names, values)
        except (RedisError, OSError) as error:
            self._note_absence(error)
            return dict.fromkeys([*keys, None], Found(None))
        for wanted, each in zip(answer[1:], made, strict=False):
            if wanted:
                self._made.append(replace(each, outcome=Outcome.KEPT))
        return _read(keys, answer[0], answer[1 + len(made) :])

    def _note_absence(self, error: Exception) -> None:
        if time.monotonic() > self._away_until + _RETRY_SECONDS:
            logger.warning("answers are not cached: Redis is away (%s)", error)
        self._away_until = time.monotonic() + _RETRY_SECONDS


def _read(keys: list[str], current: bytes, answer: list[bytes]) -> dict[str | None, Found]:
    generation = int(current)
    found: dict[str | None, Found] = {None: Found(generation)}
    for key, entry in zip(keys, answer, strict=True):
        if entry in {_MINE, _AGAIN, _OTHERS}:
            found[key] = Found(generation, None, entry)
        else:
            found[key] = Found(generation, entry.partition(b"\n")[2])
    return found

"""The generation of the index: what makes a cached answer current or not."""

import time
from typing import Any

from bookwheel_contracts.redis_keys import GENERATION_KEY
from redis import Redis

_ADVANCE = """
local current = tonumber(redis.call('GET', KEYS[1]) or ARGV[2])
redis.call('SET', KEYS[1], string.format('%.0f', math.max(current, tonumber(ARGV[1]))))
return redis.call('INCR', KEYS[1])
"""


class Generation:
    """A counter in Redis that the projection advances after each commit to the index.

    Advance it before the projection's cursor is stored: a projection that dies in between repeats its batch, which is
    harmless, whereas an index that changed under an old generation would leave cached answers stale. A Redis that lost
    its last second would take an old generation for the current one, and give the next a number that was in use: who
    advances it remembers elsewhere how far it was.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._advance: Any = redis.register_script(_ADVANCE)

    def current(self) -> int:
        """0 where nothing was projected since Redis was last emptied. Raises redis.RedisError while Redis is away."""
        found = self._redis.get(GENERATION_KEY)
        return int(found) if found else 0

    def advance(self, *, beyond: int = 0) -> int:
        """The new generation, later than the current one and `beyond`. Raises redis.RedisError while Redis is away.

        A counter that Redis lost starts at the time in milliseconds: clients may hold the ETags of earlier generations.
        """
        return int(self._advance(keys=[GENERATION_KEY], args=[beyond, time.time_ns() // 1_000_000]))

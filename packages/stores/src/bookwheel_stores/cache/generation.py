"""The generation of the index: cached responses are valid for one generation."""

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

    Advance it before the projection's cursor is stored. A projection that dies in between repeats its batch, which is
    harmless. An index that changed under an old generation would leave cached responses stale. A Redis that lost its
    last second would reuse a generation: the projection therefore stores its last generation elsewhere too.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._advance: Any = redis.register_script(_ADVANCE)

    def current(self) -> int:
        """Returns 0 if nothing was projected since Redis was last emptied. Raises redis.RedisError."""
        return int(self._redis.get(GENERATION_KEY) or 0)

    def advance(self, *, beyond: int = 0) -> int:
        """Returns the new generation, later than the current one and `beyond`. Raises redis.RedisError.

        A counter that Redis lost starts at the time in milliseconds: clients may hold ETags of earlier generations.
        """
        return int(self._advance(keys=[GENERATION_KEY], args=[beyond, time.time_ns() // 1_000_000]))

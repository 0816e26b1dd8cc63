"""The index generation. Cached responses are valid for one generation."""

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

    Advance it before the projection's cursor is stored. If the process is killed in between, the batch is repeated,
    which is harmless. If the index changed without a new generation, cached responses would be stale. If Redis lost its
    last second, it would reuse a generation. The projection therefore also stores its last generation elsewhere.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._advance: Any = redis.register_script(_ADVANCE)

    def current(self) -> int:
        """Returns 0 if no batch was projected since Redis was last emptied. Raises redis.RedisError."""
        return int(self._redis.get(GENERATION_KEY) or 0)

    def advance(self, *, beyond: int = 0) -> int:
        """Returns the new generation, later than the current one and `beyond`. Raises redis.RedisError.

        If Redis lost the counter, it starts at the time in milliseconds, because clients may have ETags of earlier
        generations.
        """
        return int(self._advance(keys=[GENERATION_KEY], args=[beyond, time.time_ns() // 1_000_000]))

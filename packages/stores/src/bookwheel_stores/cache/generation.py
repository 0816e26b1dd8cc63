"""The generation of the index: what makes a cached answer current or not."""

import time

from redis import Redis

GENERATION_KEY = "bookwheel:generation"


class Generation:
    """A counter in Redis that the projection advances after each commit to the index.

    Advance it before the projection's cursor is stored: a projection that dies in between repeats its batch, which is
    harmless, whereas an index that changed under an old generation would leave cached answers stale.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def current(self) -> int:
        """0 where nothing was projected since Redis was last emptied. Raises redis.RedisError while Redis is away."""
        found = self._redis.get(GENERATION_KEY)
        return int(found) if found else 0

    def advance(self) -> int:
        """The new generation. Raises redis.RedisError while Redis is away.

        A counter that Redis lost starts at the time in milliseconds: clients may hold the ETags of earlier generations.
        """
        with self._redis.pipeline() as pipe:
            pipe.set(GENERATION_KEY, time.time_ns() // 1_000_000, nx=True)
            pipe.incr(GENERATION_KEY)
            return int(pipe.execute()[1])

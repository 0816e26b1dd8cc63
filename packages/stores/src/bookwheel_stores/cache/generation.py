"""The generation of the index: what makes a cached answer current or not."""

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
        """0 where nothing was projected yet. Raises redis.RedisError while Redis is away."""
        found = self._redis.get(GENERATION_KEY)
        return int(found) if found else 0

    def advance(self) -> int:
        """The new generation. Raises redis.RedisError while Redis is away."""
        return int(self._redis.incr(GENERATION_KEY))

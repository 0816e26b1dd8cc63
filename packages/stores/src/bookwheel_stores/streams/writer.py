"""Publish messages to Redis streams in batches, and notifications of new changes."""

from collections.abc import Sequence

from bookwheel_contracts.redis_keys import CHANGES_CHANNEL
from redis import Redis
from redis.client import Pipeline

BODY_FIELD = b"body"
"""The only field of a stream entry: the message as JSON."""


def connect_redis(url: str, *, timeout: float = 5.0) -> Redis:
    """Return a client that returns bytes and times out after `timeout` seconds. It connects on first use."""
    return Redis.from_url(url, socket_timeout=timeout, socket_connect_timeout=timeout, health_check_interval=30)


class StreamWriter:
    """Appends messages with pipelined `XADD`. Does not trim the stream, because readers delete acknowledged entries."""

    def __init__(self, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream

    def publish(self, bodies: Sequence[str | bytes]) -> None:
        """Append a batch. Raises redis.RedisError if it was not confirmed. Parts of the batch may have arrived."""
        with self._redis.pipeline(transaction=False) as pipe:
            self.append_to(pipe, bodies)
            pipe.execute()

    def append_to(self, pipe: Pipeline, bodies: Sequence[str | bytes]) -> None:
        """Add the commands to a pipeline of the caller, to execute them in one transaction with other commands."""
        for body in bodies:
            pipe.xadd(self._stream, {BODY_FIELD: body})

    def length(self) -> int:
        """Return the length of the stream, which includes all entries from the oldest unacknowledged entry."""
        return int(self._redis.xlen(self._stream))


def announce_changes(redis: Redis, sequence: int) -> None:
    """Notify subscribers of a commit. After a lost message, they poll. Raises redis.RedisError."""
    redis.publish(CHANGES_CHANNEL, sequence)

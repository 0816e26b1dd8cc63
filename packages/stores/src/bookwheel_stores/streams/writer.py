"""Publishes messages to a stream in batches."""

from collections.abc import Sequence

from redis import Redis
from redis.client import Pipeline

BODY = b"body"
"""The one field of every stream entry: the message as JSON."""


class StreamWriter:
    """Appends messages with pipelined `XADD`; a batch is accepted once `publish` returns.

    The stream is never trimmed here: readers drop the entries that all of their groups have acknowledged.
    """

    def __init__(self, redis: Redis, stream: str) -> None:
        self._redis = redis
        self._stream = stream

    def publish(self, bodies: Sequence[str | bytes]) -> None:
        """Raises redis.RedisError when Redis has not confirmed the whole batch; then any part may have arrived."""
        with self._redis.pipeline(transaction=False) as pipe:
            self.append_to(pipe, bodies)
            pipe.execute()

    def append_to(self, pipe: Pipeline, bodies: Sequence[str | bytes]) -> None:
        """Adds the appends to the caller's pipeline, for a batch that is one transaction with other commands."""
        for body in bodies:
            pipe.xadd(self._stream, {BODY: body})

    def length(self) -> int:
        """Entries that not every group has acknowledged, and those that came after the oldest of them."""
        return int(self._redis.xlen(self._stream))

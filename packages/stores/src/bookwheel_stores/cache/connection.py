"""One connection to Redis, kept for one command after the other."""

import asyncio
from functools import cache
from hashlib import sha1
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import NoScriptError

_SECONDS = 1.0  # a cache that takes longer than a search is none


class KeptConnection:
    """For one caller at a time. The client itself fetches a connection, sets timers and keeps records for each call,
    which takes 30 of 90 µs; the client of `redis` must have no timeout of its own, which takes as much again."""

    def __init__(self, redis: Redis) -> None:
        self._pool = redis.connection_pool
        self._connection: AbstractConnection | None = None

    async def call(self, *command: str | bytes | int) -> Any:
        """Raises RedisError, or OSError after a second at most."""
        async with asyncio.timeout(_SECONDS):
            if self._connection is None:
                self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
                return await self._ask(self._connection, command)
            try:
                return await self._ask(self._connection, command)
            except (Disconnected, ConnectionError):  # Redis was restarted since; sending connects again
                await self._connection.disconnect()
                return await self._ask(self._connection, command)

    async def run(self, script: str, keys: list[str], values: list[int | str | bytes]) -> Any:
        """What a Lua script returns. The same errors."""
        try:
            return await self.call("EVALSHA", _digest(script), len(keys), *keys, *values)
        except NoScriptError:
            return await self.call("EVAL", script, len(keys), *keys, *values)

    async def close(self) -> None:
        if self._connection is not None:
            await self._pool.release(self._connection)
            self._connection = None

    @staticmethod
    async def _ask(connection: AbstractConnection, command: tuple[str | bytes | int, ...]) -> Any:
        await connection.send_command(*command)
        return await connection.read_response()


@cache
def _digest(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()

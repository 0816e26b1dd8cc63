"""The change feed as server-sent events."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import ChangeFilter, FeedEntry
from sqlalchemy.exc import SQLAlchemyError
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError
from starlette import types

from bookwheel_catalog.changes.broadcaster import ChangeBroadcaster

logger = get_logger(__name__)

HEARTBEAT_SECONDS = 15.0
"""The gateway closes a response that is silent for four times as long."""
RETRY_MILLISECONDS = 2000
_SEND_TIMEOUT_SECONDS = 20.0
_GRACE_SECONDS = 3.0
_JITTER = 0.2
"""Streams that started together after a restart end at different times."""


async def change_events(
    broadcaster: ChangeBroadcaster, change_filter: ChangeFilter, *, after: int, seconds: float
) -> AsyncIterator[bytes]:
    """One listener's events after a position, for at most `seconds`: clients then reconnect by themselves.

    Each event's id is the sequence of its change. A heartbeat is an id without an event: a client whose filter matches
    little then does not resume far back.
    """
    clock = asyncio.get_running_loop().time
    ends_at = clock() + seconds * random.uniform(1 - _JITTER, 1)  # noqa: S311 - no secret
    position, sent_at = after, clock()
    yield b"retry: %d\nid: %d\n\n" % (RETRY_MILLISECONDS, position)
    while clock() < ends_at and not broadcaster.is_stopping():
        heartbeat_at = sent_at + HEARTBEAT_SECONDS
        try:
            entries = await broadcaster.after(position, seconds=max(0.0, min(heartbeat_at, ends_at) - clock()))
        except SQLAlchemyError as error:
            logger.warning("records unavailable: change stream closed", error=str(error)[:500])
            return
        chunk = b"".join(render_event(entry) for entry in entries if change_filter.matches(entry))
        position = entries[-1].sequence if entries else position
        if not chunk and clock() >= heartbeat_at:
            chunk = b": heartbeat\nid: %d\n\n" % position
        if chunk:
            yield chunk
            sent_at = clock()
    yield b": reconnect\nid: %d\n\n" % position


def render_event(entry: FeedEntry) -> bytes:
    return b"id: %d\nevent: change\ndata: %b\n\n" % (entry.sequence, entry.to_json())


class ChangeStreamResponse(EventSourceResponse):
    """Sends the events while it holds `listening`. A client that reads nothing for some seconds is disconnected."""

    def __init__(self, events: AsyncIterator[bytes], listening: AbstractAsyncContextManager[None]) -> None:
        # the library's own pings could overtake an event, and would not carry its id
        super().__init__(events, ping=0, send_timeout=_SEND_TIMEOUT_SECONDS, shutdown_grace_period=_GRACE_SECONDS)
        self._listening = listening

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        async with self._listening:
            try:
                await super().__call__(scope, receive, send)
            except SendTimeoutError:
                logger.info("sse client timed out", path=scope["path"])

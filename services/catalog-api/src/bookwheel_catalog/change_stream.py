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

from bookwheel_catalog.change_tail import ChangeTail

HEARTBEAT_SECONDS = 15.0
"""The gateway gives up on a service that is silent for four times as long."""
RETRY_MILLISECONDS = 2000
_SEND_SECONDS = 20.0
_GRACE_SECONDS = 3.0
_LAST_FIFTH = 0.2
_log = get_logger(__name__)


async def change_events(tail: ChangeTail, chosen: ChangeFilter, *, after: int, seconds: float) -> AsyncIterator[bytes]:
    """One listener's events from the place `after` on, for `seconds` at most: clients then come again by themselves.

    Each event's id is the sequence of its change. A heartbeat is an id without an event: it tells the client how far
    the feed was looked through, so a filter that lets little through does not make it resume far back.
    """
    clock = asyncio.get_running_loop().time
    # not all at once, where all came at once after a restart
    ends_at = clock() + seconds * random.uniform(1 - _LAST_FIFTH, 1)  # noqa: S311 - no secret
    position, spoken_at = after, clock()
    yield b"retry: %d\nid: %d\n\n" % (RETRY_MILLISECONDS, position)
    while clock() < ends_at and not tail.is_closing:
        beat_at = spoken_at + HEARTBEAT_SECONDS
        try:
            entries = await tail.after(position, seconds=max(0.0, min(beat_at, ends_at) - clock()))
        except SQLAlchemyError as error:
            _log.warning("the records are away: a listener is sent off", error=str(error)[:500])
            return
        chunk = b"".join(event(entry) for entry in entries if chosen.matches(entry))
        position = entries[-1].sequence if entries else position
        if not chunk and clock() >= beat_at:
            chunk = b": heartbeat\nid: %d\n\n" % position
        if chunk:
            yield chunk
            spoken_at = clock()
    yield b": come again\nid: %d\n\n" % position


def event(entry: FeedEntry) -> bytes:
    return b"id: %d\nevent: change\ndata: %b\n\n" % (entry.sequence, entry.to_json())


class ChangeStream(EventSourceResponse):
    """Sends a listener's events, which is counted as one for so long.

    One that takes nothing for some seconds is disconnected; it can resume.
    """

    def __init__(self, events: AsyncIterator[bytes], listening: AbstractAsyncContextManager[None]) -> None:
        # the library's own pings could overtake an event, and would not carry its id
        super().__init__(events, ping=0, send_timeout=_SEND_SECONDS, shutdown_grace_period=_GRACE_SECONDS)
        self._listening = listening

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        async with self._listening:
            try:
                await super().__call__(scope, receive, send)
            except SendTimeoutError:
                _log.info("a listener took nothing any more", path=scope["path"])

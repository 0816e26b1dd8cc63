"""Streams the change feed as server-sent events."""

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

KEEPALIVE_SECONDS = 15.0
"""The gateway closes a response that sends nothing for four times as long."""
RETRY_MILLISECONDS = 2000
_SEND_TIMEOUT_SECONDS = 20.0
_GRACE_SECONDS = 3.0
_DURATION_JITTER = 0.2
"""Streams that started together after a restart end at different times."""


async def change_events(
    broadcaster: ChangeBroadcaster, change_filter: ChangeFilter, *, after: int, max_seconds: float
) -> AsyncIterator[bytes]:
    """Yields the events of one listener for at most `max_seconds`. Clients then reconnect automatically.

    The id of an event is the sequence of its change. A keepalive (`: heartbeat`) has only the current position as id. A
    client whose filter matches few changes therefore resumes at a recent position.
    """
    clock = asyncio.get_running_loop().time
    ends_at = clock() + max_seconds * random.uniform(1 - _DURATION_JITTER, 1)  # noqa: S311 - not a secret
    position, sent_at = after, clock()
    yield b"retry: %d\nid: %d\n\n" % (RETRY_MILLISECONDS, position)
    while clock() < ends_at and not broadcaster.is_stopping():
        keepalive_at = sent_at + KEEPALIVE_SECONDS
        try:
            entries = await broadcaster.wait_for_entries(
                after=position, max_seconds=max(0.0, min(keepalive_at, ends_at) - clock())
            )
        except SQLAlchemyError as error:
            logger.warning("change stream closed: database unavailable", error=str(error)[:500])
            return
        chunk = b"".join(render_event(entry) for entry in entries if change_filter.matches(entry))
        position = entries[-1].sequence if entries else position
        if not chunk and clock() >= keepalive_at:
            chunk = b": heartbeat\nid: %d\n\n" % position
        if chunk:
            yield chunk
            sent_at = clock()
    yield b": reconnect\nid: %d\n\n" % position


def render_event(entry: FeedEntry) -> bytes:
    return b"id: %d\nevent: change\ndata: %b\n\n" % (entry.sequence, entry.to_json())


class ChangeStreamResponse(EventSourceResponse):
    """Registers a listener, sends its events and unregisters it.

    Disconnects a client that reads nothing for some seconds.
    """

    def __init__(self, events: AsyncIterator[bytes], registration: AbstractAsyncContextManager[None]) -> None:
        # the library's pings are disabled: they have no id and could be sent before an earlier event
        super().__init__(events, ping=0, send_timeout=_SEND_TIMEOUT_SECONDS, shutdown_grace_period=_GRACE_SECONDS)
        self._registration = registration

    async def __call__(self, scope: types.Scope, receive: types.Receive, send: types.Send) -> None:
        async with self._registration:
            try:
                await super().__call__(scope, receive, send)
            except SendTimeoutError:
                logger.info("sse client timed out", path=scope["path"])

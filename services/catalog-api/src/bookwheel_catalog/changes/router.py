"""Routes of the change feed: pages to poll and a live stream."""

import asyncio
from typing import Annotated

from bookwheel_stores.records import ChangeFilter
from fastapi import APIRouter, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.changes.filters import parse_change_filter
from bookwheel_catalog.changes.models import ChangeList, FeedParameters, LastEventId, PageParameters
from bookwheel_catalog.changes.pages import LATEST, ChangePage, parse_position, read_page
from bookwheel_catalog.changes.stream import ChangeStreamResponse, change_events
from bookwheel_catalog.dependencies import Dependencies, Injected, ReaderClaims
from bookwheel_catalog.http_caching import conditional_json, next_link

router = APIRouter(prefix=f"{API_PREFIX}/changes", tags=["changes"])


@router.get("", response_class=Response, responses={200: {"model": ChangeList}})
async def list_changes(
    request: Request, dependencies: Injected, claims: ReaderClaims, parameters: Annotated[PageParameters, Query()]
) -> Response:
    """Lists the changes after a position in the feed, oldest first. Each change contains the book after that change.

    `next` is always present: pass it as `after` to get the next page. `more` is true if the feed has later changes. A
    page may have fewer changes than `limit`, or none, while `more` is true.
    """
    change_filter = parse_change_filter(parameters.filters)
    after = await asyncio.to_thread(parse_position, dependencies.feed, parameters.after, default="0")
    page = await asyncio.to_thread(read_page, dependencies.feed, change_filter, after=after, limit=parameters.limit)
    if parameters.wait and not page.entries and not page.more:
        page = await _wait_for_changes(dependencies, change_filter, page, parameters, subject=claims.sub)
    query = request.scope["query_string"].decode("latin-1")
    link = next_link(request.scope["path"], query, str(page.next), parameter="after")
    return conditional_json(request, page.to_json(), {"Link": link})


async def _wait_for_changes(
    dependencies: Dependencies,
    change_filter: ChangeFilter,
    page: ChangePage,
    parameters: PageParameters,
    *,
    subject: str,
) -> ChangePage:
    clock = asyncio.get_running_loop().time
    deadline = clock() + parameters.wait
    broadcaster = dependencies.broadcaster
    async with broadcaster.register_listener(subject):
        while not page.entries and clock() < deadline and not broadcaster.is_stopping():
            if await broadcaster.wait_for_entries(after=page.next, max_seconds=deadline - clock()):
                page = await asyncio.to_thread(
                    read_page, dependencies.feed, change_filter, after=page.next, limit=parameters.limit
                )
    return page


@router.get(
    "/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def stream_changes(
    dependencies: Injected,
    claims: ReaderClaims,
    parameters: Annotated[FeedParameters, Query()],
    last_event_id: LastEventId = None,
) -> Response:
    """Streams the changes after a position as server-sent events. The default position is `latest`.

    The `id` of each `change` event is its sequence. The server ends each stream after some minutes to check the
    credential again. A client that reconnects with `Last-Event-ID`, like every EventSource, receives each change once
    and in order.
    """
    change_filter = parse_change_filter(parameters.filters)
    position = last_event_id or parameters.after
    after = await asyncio.to_thread(parse_position, dependencies.feed, position, default=LATEST)
    events = change_events(
        dependencies.broadcaster, change_filter, after=after, max_seconds=dependencies.stream_seconds
    )
    return ChangeStreamResponse(events, dependencies.broadcaster.register_listener(claims.sub))

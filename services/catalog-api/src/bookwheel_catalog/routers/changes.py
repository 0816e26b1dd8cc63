"""The change feed: pages of it to poll, and its end to listen to."""

import asyncio
from hashlib import blake2b
from typing import Annotated

from bookwheel_stores.records import ChangeFilter
from fastapi import APIRouter, Header, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.change_stream import ChangeStream, change_events
from bookwheel_catalog.changes import LATEST, ChangePage, place_in, read_page
from bookwheel_catalog.dependencies import Dependencies, PartsOf, Reader
from bookwheel_catalog.models import ChangeList
from bookwheel_catalog.pages import matches_etag, next_link
from bookwheel_catalog.parameters import read_change_filter

router = APIRouter(prefix=f"{API_PREFIX}/changes", tags=["changes"])
_PLACE = rf"^(\d{{1,18}}|{LATEST})$"
After = Annotated[
    str | None,
    Query(pattern=_PLACE, description="`next` of the page before, the sequence of a change, or `latest`."),
]
Filters = Annotated[
    list[str],
    Query(
        alias="filter",
        max_length=100,
        description="`name:value`, repeatable: `kind`, `source`, `category`, and `field` for a changed field. Values "
        "of one name widen, names narrow.",
    ),
]


@router.get("", response_class=Response, responses={200: {"model": ChangeList}})
async def changes(  # noqa: PLR0913 - one parameter for each of the query
    request: Request,
    parts: PartsOf,
    claims: Reader,
    *,
    after: After = None,
    filters: Filters = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=1000, description="Changes on a page.")] = 100,
    wait: Annotated[
        float, Query(ge=0, le=30, allow_inf_nan=False, description="Seconds to wait for a change where there is none.")
    ] = 0,
) -> Response:
    """Changes behind a place in the feed, oldest first, each with the book as it was then.

    `next` is always there: ask for what is `after` it. `more` tells whether there is something already. A page may
    hold fewer changes than `limit`, or none, and still have more behind it.
    """
    chosen = read_change_filter(filters)
    place = await asyncio.to_thread(place_in, parts.feed, after, default="0")
    page = await asyncio.to_thread(read_page, parts.feed, chosen, after=place, limit=limit)
    if wait and not page.entries and not page.more:
        page = await _wait_for(parts, chosen, page, limit=limit, seconds=wait, subject=claims.sub)
    content = page.json()
    etag = f'"{blake2b(content, digest_size=12).hexdigest()}"'
    link = next_link(request.scope["path"], request.scope["query_string"].decode("latin-1"), str(page.next), "after")
    headers = {"Cache-Control": "private, no-cache", "ETag": etag, "Link": link}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(None, 304, headers)
    return Response(content, 200, headers, "application/json")


async def _wait_for(
    parts: Dependencies, chosen: ChangeFilter, page: ChangePage, *, limit: int, seconds: float, subject: str
) -> ChangePage:
    clock = asyncio.get_running_loop().time
    deadline = clock() + seconds
    async with parts.tail.listening(subject):
        while not page.entries and clock() < deadline and not parts.tail.is_closing:
            if await parts.tail.after(page.next, seconds=deadline - clock()):
                page = await asyncio.to_thread(read_page, parts.feed, chosen, after=page.next, limit=limit)
    return page


@router.get(
    "/stream",
    response_class=Response,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
)
async def stream(
    parts: PartsOf,
    claims: Reader,
    *,
    after: After = None,
    filters: Filters = [],  # noqa: B006 - FastAPI copies it
    last_event_id: Annotated[
        str | None, Header(pattern=_PLACE, description="Where to resume: the last event's id. Goes before `after`.")
    ] = None,
) -> Response:
    """The feed from a place on, `latest` by default, as server-sent events: each `change` has its sequence as `id`.

    The server ends each stream after some minutes, so that the credential is checked again. A client that comes again
    with `Last-Event-ID`, as every EventSource does by itself, gets each change once and in order.
    """
    chosen = read_change_filter(filters)
    place = await asyncio.to_thread(place_in, parts.feed, last_event_id or after, default=LATEST)
    events = change_events(parts.tail, chosen, after=place, seconds=parts.stream_seconds)
    return ChangeStream(events, parts.tail.listening(claims.sub))

"""Downloads: versions of the whole catalog, what differs between two of them, and the catalog as of any time."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC
from typing import Annotated, Any, Literal

from bookwheel_contracts.exports import Export
from bookwheel_contracts.problems import InvalidCursorError, RangeNotSatisfiableError
from bookwheel_runtime.problem_responses import problem_response
from bookwheel_stores.lake.deltas import delta_json, delta_rows, delta_tables
from bookwheel_stores.lake.export_writer import chunks
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.byte_ranges import ByteRange, InvalidByteRangeError, wanted_range
from bookwheel_catalog.cursors import MAX_CURSOR_LENGTH, decode, encode
from bookwheel_catalog.dependencies import Operator, PartsOf, Reader
from bookwheel_catalog.export_models import ExportList, ExportOrder
from bookwheel_catalog.pages import matches_etag

router = APIRouter(prefix=f"{API_PREFIX}/exports", tags=["exports"])
_TYPES = {"csv": "text/csv; charset=utf-8", "parquet": "application/vnd.apache.parquet", "json": "application/json"}
_FOREVER = "private, max-age=31536000, immutable"
Version = Annotated[int, Path(ge=0, lt=1 << 62, description="The sequence of the last change that the version holds.")]
FileFormat = Literal["csv", "parquet"]
_BINARY: dict[int | str, dict[str, Any]] = {200: {"content": {_TYPES["csv"]: {}, _TYPES["parquet"]: {}}}}
_PARTIAL: dict[int | str, dict[str, Any]] = {
    206: {"description": "The asked part."},
    304: {"description": "The client has it."},
}


class MadeDownload(StreamingResponse):
    """What is made while it is sent. Raises RateLimited or Unavailable where no place is free, before it sends any."""

    def __init__(self, place: AbstractContextManager[None], content: Iterator[bytes], kind: str, name: str) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-cache"}
        super().__init__(content, 200, headers, _TYPES[kind])
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await super().__call__(scope, receive, send)


@router.get("")
async def exports(
    parts: PartsOf,
    _: Reader,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> ExportList:
    """The versions there are and their files, newest first."""
    found = await asyncio.to_thread(parts.exports.latest, before=_version_in(cursor), limit=limit + 1)
    following = encode([found[limit - 1].version]) if len(found) > limit else None
    return ExportList(items=tuple(found[:limit]), next=following)


@router.post("", status_code=202)
async def order(request: Request, response: Response, parts: PartsOf, claims: Operator) -> ExportOrder:
    """Has a version made now: the next one in the list whose number is at least the one in the answer."""
    version = await asyncio.to_thread(parts.exports.order, requested_by=claims.sub)
    response.headers["Location"] = request.url.path
    return ExportOrder(at_least=version)


@router.get("/books.{file_format}", response_class=Response, responses=_BINARY)
async def books(
    parts: PartsOf,
    claims: Reader,
    file_format: FileFormat,
    as_of: Annotated[
        str | None, Query(max_length=40, description="A past time, RFC 3339, or a date for its end. Now, by default.")
    ] = None,
) -> StreamingResponse:
    """The unified table, a row for each book, as of any past time: each book as its last change up to then left it."""
    cut = await asyncio.to_thread(parts.exports.cut, as_of)
    point = cut.sequence if cut.moment is None else f"{cut.moment.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}"
    name = f"bookwheel-{point}-books.{file_format}"
    content = chunks(parts.exports.states.book_pages(cut), file_format)
    return MadeDownload(parts.made_downloads.taken(claims.sub), content, file_format, name)


@router.get("/{earlier}..{later}", response_class=Response, responses=_BINARY)
async def delta(
    parts: PartsOf,
    claims: Reader,
    earlier: Version,
    later: Version,
    file_format: Annotated[Literal["json", "csv", "parquet"], Query(alias="format")] = "json",
) -> StreamingResponse:
    """What differs between two versions: books added, modified (before and after) and removed.

    Any sequence of the feed is a version here, whether files were made of it or not; 0 is the empty catalog.
    """
    await asyncio.to_thread(parts.exports.span, earlier, later)
    rows = delta_rows(parts.exports.states.diff_pages(earlier, later))
    name = f"bookwheel-{earlier}-{later}.{file_format}"
    if file_format == "json":
        content = delta_json(rows, earlier=earlier, later=later)
    else:
        content = delta_tables(rows, file_format)
    return MadeDownload(parts.made_downloads.taken(claims.sub), content, file_format, name)


@router.get("/{version}")
async def export(parts: PartsOf, _: Reader, version: Version) -> Export:
    """A version's files, with their sizes, rows and checksums."""
    return await asyncio.to_thread(parts.exports.get, version)


@router.head("/{file_format}/{version}/{name:path}", include_in_schema=False)
@router.get("/{file_format}/{version}/{name:path}", response_class=Response, responses={**_BINARY, **_PARTIAL})
async def file(  # noqa: PLR0913 - one parameter for each header that counts
    request: Request,
    parts: PartsOf,
    _: Reader,
    *,
    file_format: FileFormat,
    version: Version,
    name: Annotated[str, Path(max_length=200)],
    range_header: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A file of a version, or a range of its bytes. It never changes: its `ETag` is its SHA-256."""
    found = await asyncio.to_thread(parts.exports.file, version, f"exports/{file_format}/{version}/{name}")
    etag = f'"{found.sha256}"'
    headers = {"ETag": etag, "Cache-Control": _FOREVER, "Accept-Ranges": "bytes"}
    if matches_etag(if_none_match, etag):
        return Response(None, 304, headers)
    try:
        part = wanted_range(range_header, if_range, etag=etag, size=found.size)
    except InvalidByteRangeError:
        answer = problem_response(request, RangeNotSatisfiableError(f"The file has {found.size} bytes."))
        answer.headers["Content-Range"] = f"bytes */{found.size}"
        return answer
    start, end = part or ByteRange(0, found.size)
    if part is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{found.size}"
    headers["Content-Length"] = str(end - start)
    headers["Content-Disposition"] = f'attachment; filename="bookwheel-{version}-{name.replace("/", "-")}"'
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(None, status, headers, _TYPES[file_format])
    content = await asyncio.to_thread(parts.exports.content, found, ByteRange(start, end))
    return StreamingResponse(content, status, headers, _TYPES[file_format])


def _version_in(cursor: str | None) -> int | None:
    """Raises InvalidCursor."""
    if cursor is None:
        return None
    [version] = decode(cursor, least=1, most=1)
    if type(version) is not int:
        raise InvalidCursorError("The cursor is malformed.")
    return version

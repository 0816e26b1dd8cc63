"""Routes of downloads: exports of the catalog, deltas between two sequences, and the catalog as of a time."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC
from typing import Annotated, Any, Literal

from bookwheel_contracts.exports import Export
from bookwheel_contracts.problems import InvalidCursorError, RangeNotSatisfiableError
from bookwheel_runtime.problem_responses import problem_response
from bookwheel_stores.lake.deltas import delta_json, delta_rows, delta_tables
from bookwheel_stores.lake.export_writer import stream_books
from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, OperatorClaims, ReaderClaims
from bookwheel_catalog.exports.byte_ranges import ByteRange, InvalidByteRangeError, parse_range
from bookwheel_catalog.exports.models import (
    DeltaParameters,
    ExportList,
    RequestedExport,
    SnapshotParameters,
)
from bookwheel_catalog.http_caching import REVALIDATE, matches_etag
from bookwheel_catalog.search.cursors import decode_cursor, encode_cursor
from bookwheel_catalog.search.parameters import CursorParameters

router = APIRouter(prefix=f"{API_PREFIX}/exports", tags=["exports"])
_MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
    "json": "application/json",
}
_IMMUTABLE = "private, max-age=31536000, immutable"
Sequence = Annotated[int, Path(ge=0, lt=1 << 62, description="The sequence of the last change in the export.")]
FileFormat = Literal["csv", "parquet"]
Responses = dict[int | str, dict[str, Any]]
_FILE_RESPONSES: Responses = {200: {"content": {_MEDIA_TYPES["csv"]: {}, _MEDIA_TYPES["parquet"]: {}}}}
_RANGE_RESPONSES: Responses = {
    206: {"description": "The requested range."},
    304: {"description": "The client has the current file."},
}


class GeneratedDownload(StreamingResponse):
    """Generates a file while it is sent. Holds a slot of the concurrency limiter until the end."""

    def __init__(
        self, slot: AbstractContextManager[None], content: Iterator[bytes], file_format: str, name: str
    ) -> None:
        headers = {"Content-Disposition": f'attachment; filename="{name}"', **REVALIDATE}
        super().__init__(content, 200, headers, _MEDIA_TYPES[file_format])
        self._slot = slot

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file. Raises RateLimitedError or UnavailableError before the first byte."""
        with self._slot:
            await super().__call__(scope, receive, send)


@router.get("")
async def list_exports(
    dependencies: Injected, _: ReaderClaims, parameters: Annotated[CursorParameters, Query()]
) -> ExportList:
    """Lists the exports with their files, newest first."""
    limit, before = parameters.limit, _decode_sequence(parameters.cursor)
    exports = await asyncio.to_thread(dependencies.exports.list_latest, before=before, limit=limit + 1)
    next_cursor = encode_cursor([exports[limit - 1].version]) if len(exports) > limit else None
    return ExportList(items=tuple(exports[:limit]), next=next_cursor)


@router.post("", status_code=202)
async def create_export(
    request: Request, response: Response, dependencies: Injected, claims: OperatorClaims
) -> RequestedExport:
    """Requests an export now. It is ready when the list has an export with a `version` of at least `at_least`."""
    sequence = await asyncio.to_thread(dependencies.exports.submit, requested_by=claims.sub)
    response.headers["Location"] = request.url.path
    return RequestedExport(at_least=sequence)


@router.get("/books.{file_format}", response_class=Response, responses=_FILE_RESPONSES)
async def download_snapshot(
    dependencies: Injected,
    claims: ReaderClaims,
    file_format: FileFormat,
    parameters: Annotated[SnapshotParameters, Query()],
) -> StreamingResponse:
    """Downloads a table of all books as of a past time. Each row is a book after its last change up to that time."""
    snapshot = await asyncio.to_thread(dependencies.exports.snapshot_as_of, parameters.as_of)
    timestamp = snapshot.moment
    label = snapshot.sequence if timestamp is None else f"{timestamp.astimezone(UTC):%Y-%m-%dT%H-%M-%SZ}"
    name = f"bookwheel-{label}-books.{file_format}"
    content = stream_books(dependencies.exports.snapshots.book_pages(snapshot), file_format)
    return GeneratedDownload(dependencies.generated_downloads.acquire(claims.sub), content, file_format, name)


@router.get("/{earlier}..{later}", response_class=Response, responses=_FILE_RESPONSES)
async def download_delta(
    dependencies: Injected,
    claims: ReaderClaims,
    earlier: Sequence,
    later: Sequence,
    parameters: Annotated[DeltaParameters, Query()],
) -> StreamingResponse:
    """Downloads the books that were added, modified (before and after) or removed between two sequences.

    Every sequence of the feed is valid, also without an export of that sequence. 0 is the empty catalog.
    """
    await asyncio.to_thread(dependencies.exports.check_delta, earlier, later)
    file_format = parameters.file_format
    rows = delta_rows(dependencies.exports.snapshots.diff_pages(earlier, later))
    name = f"bookwheel-{earlier}-{later}.{file_format}"
    if file_format == "json":
        content = delta_json(rows, earlier=earlier, later=later)
    else:
        content = delta_tables(rows, file_format)
    return GeneratedDownload(dependencies.generated_downloads.acquire(claims.sub), content, file_format, name)


@router.get("/{version}")
async def get_export(dependencies: Injected, _: ReaderClaims, version: Sequence) -> Export:
    """Returns an export with the sizes, row counts and checksums of its files."""
    return await asyncio.to_thread(dependencies.exports.get, version)


@router.head("/{file_format}/{version}/{name:path}", include_in_schema=False)
@router.get(
    "/{file_format}/{version}/{name:path}", response_class=Response, responses={**_FILE_RESPONSES, **_RANGE_RESPONSES}
)
async def download_file(  # noqa: PLR0913 - one parameter for each header
    request: Request,
    dependencies: Injected,
    _: ReaderClaims,
    *,
    file_format: FileFormat,
    version: Sequence,
    name: Annotated[str, Path(max_length=200)],
    range_header: Annotated[str | None, Header(alias="Range")] = None,
    if_range: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """Downloads a file of an export, or a byte range of it. A file never changes: its `ETag` is its SHA-256."""
    file = await asyncio.to_thread(dependencies.exports.get_file, version, f"exports/{file_format}/{version}/{name}")
    etag = f'"{file.sha256}"'
    headers = {"ETag": etag, "Cache-Control": _IMMUTABLE, "Accept-Ranges": "bytes"}
    if matches_etag(if_none_match, etag):
        return Response(None, 304, headers)
    try:
        byte_range = parse_range(range_header, if_range, etag=etag, size=file.size)
    except InvalidByteRangeError:
        response = problem_response(request, RangeNotSatisfiableError(f"The file has {file.size} bytes."))
        response.headers["Content-Range"] = f"bytes */{file.size}"
        return response
    start, end = byte_range or ByteRange(0, file.size)
    if byte_range is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    headers["Content-Length"] = str(end - start)
    headers["Content-Disposition"] = f'attachment; filename="bookwheel-{version}-{name.replace("/", "-")}"'
    status = 200 if byte_range is None else 206
    if request.method == "HEAD":
        return Response(None, status, headers, _MEDIA_TYPES[file_format])
    content = await asyncio.to_thread(dependencies.exports.read_file, file, ByteRange(start, end))
    return StreamingResponse(content, status, headers, _MEDIA_TYPES[file_format])


def _decode_sequence(cursor: str | None) -> int | None:
    """Returns the sequence in the cursor. Raises InvalidCursorError."""
    if cursor is None:
        return None
    [sequence] = decode_cursor(cursor, min_parts=1, max_parts=1)
    if type(sequence) is not int:
        raise InvalidCursorError("`cursor` is invalid: use `next` of the previous page.")
    return sequence

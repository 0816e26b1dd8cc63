"""Creates responses with an ETag and `Link` headers; evaluates If-None-Match."""

from collections.abc import Mapping
from hashlib import blake2b
from urllib.parse import quote

from fastapi import Request, Response

REVALIDATE = {"Cache-Control": "private, no-cache"}


def conditional_json(
    request: Request, content: bytes, headers: Mapping[str, str] | None = None, *, etag: str | None = None
) -> Response:
    """Returns JSON with an ETag, by default a hash of the content, or 304 if the client has the same ETag."""
    etag = etag or f'"{blake2b(content, digest_size=12).hexdigest()}"'
    all_headers = {**REVALIDATE, "ETag": etag, **(headers or {})}
    if matches_etag(request.headers.get("if-none-match"), etag):
        return Response(None, 304, all_headers)
    return Response(content, 200, all_headers, "application/json")


def matches_etag(if_none_match: str | None, etag: str) -> bool:
    """Returns True if the client has this ETag. Compares weakly, as RFC 9110 requires."""
    if if_none_match is None:
        return False
    return any(tag.strip().removeprefix("W/") in {etag, "*"} for tag in if_none_match.split(","))


def next_link(path: str, query: str, cursor: str, parameter: str = "cursor") -> str:
    """Returns the `Link` header of the next page: the same request with this cursor."""
    parts = [part for part in query.split("&") if part and not part.startswith(f"{parameter}=")]
    return f'<{quote(path)}?{"&".join([*parts, f"{parameter}={cursor}"])}>; rel="next"'

"""Caches pages of search results for the current index generation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import blake2b

from fastapi import Request, Response

from bookwheel_catalog.http_caching import REVALIDATE, conditional_json, next_link
from bookwheel_catalog.search.service import SearchService


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """The JSON of a page and the cursor of the next page."""

    content: bytes
    next_cursor: str | None = None

    def to_bytes(self) -> bytes:
        return b"%b\n%b" % ((self.next_cursor or "").encode(), self.content)

    @staticmethod
    def from_bytes(data: bytes) -> "RenderedPage":
        cursor, _, content = data.partition(b"\n")
        return RenderedPage(content, cursor.decode() or None)


async def cached_response(
    request: Request, search: SearchService, render_page: Callable[[], Awaitable[RenderedPage]], *, key_suffix: str = ""
) -> Response:
    """Returns the page with its ETag and a link to the next page, or 304 if the client has the page.

    The page is rendered once per index generation, path, query and `key_suffix`.
    """

    async def render_entry(generation: int | None) -> bytes:
        search.refresh(generation)
        return (await render_page()).to_bytes()

    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    key = blake2b(f"{path}?{query}{key_suffix}".encode(), digest_size=16).hexdigest()
    entry, generation = await search.cache.get_or_compute(key, render_entry)
    page = RenderedPage.from_bytes(entry)
    headers = {} if page.next_cursor is None else {"Link": next_link(path, query, page.next_cursor)}
    if generation is None:
        return Response(page.content, 200, {**REVALIDATE, **headers}, "application/json")
    return conditional_json(request, page.content, headers, etag=f'"{generation:x}-{key}"')

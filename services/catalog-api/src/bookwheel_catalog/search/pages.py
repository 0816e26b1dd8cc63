"""Caches pages of search results for the current index generation."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from hashlib import blake2b
from typing import Concatenate, ParamSpec

from fastapi import Request, Response

from bookwheel_catalog.http_caching import REVALIDATE, next_link, tagged_json
from bookwheel_catalog.search.service import SearchService

Arguments = ParamSpec("Arguments")


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered page and the cursor of the next page."""

    content: bytes
    next_cursor: str | None = None

    def to_bytes(self) -> bytes:
        return b"%b\n%b" % ((self.next_cursor or "").encode(), self.content)

    @staticmethod
    def from_bytes(data: bytes) -> "Page":
        cursor, _, content = data.partition(b"\n")
        return Page(content, cursor.decode() or None)


async def cached_response(
    request: Request, search: SearchService, render_page: Callable[[], Awaitable[Page]], *, key_suffix: str = ""
) -> Response:
    """Returns the page with its ETag and a link to the next page, or 304 if the client has the page.

    The page is rendered once per index generation, path, query and `key_suffix`.
    """

    async def make_entry(generation: int | None) -> bytes:
        search.refresh(generation)
        return (await render_page()).to_bytes()

    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    key = blake2b(f"{path}?{query}{key_suffix}".encode(), digest_size=16).hexdigest()
    body, generation = await search.cache.get_or_compute(key, make_entry)
    page = Page.from_bytes(body)
    headers = {} if page.next_cursor is None else {"Link": next_link(path, query, page.next_cursor)}
    if generation is None:
        return Response(page.content, 200, {**REVALIDATE, **headers}, "application/json")
    return tagged_json(request, page.content, f'"{generation:x}-{key}"', headers)


def cached_page(
    render_page: Callable[Concatenate[SearchService, Arguments], Awaitable[Page]],
) -> Callable[Concatenate[Request, SearchService, Arguments], Awaitable[Response]]:
    """Decorates a function that searches and renders a page. Adds the request argument; returns a cached response."""

    @wraps(render_page)
    async def respond(
        request: Request, search: SearchService, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Response:
        return await cached_response(request, search, lambda: render_page(search, *args, **kwargs))

    return respond

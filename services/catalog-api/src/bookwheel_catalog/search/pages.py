"""Pages made from the search index, cached under the generation of the index."""

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
    """JSON and the cursor of the next page."""

    content: bytes
    next_cursor: str | None = None

    def to_bytes(self) -> bytes:
        return b"%b\n%b" % ((self.next_cursor or "").encode(), self.content)

    @staticmethod
    def from_bytes(data: bytes) -> "Page":
        cursor, _, content = data.partition(b"\n")
        return Page(content, cursor.decode() or None)


async def cached_response(
    request: Request, search: SearchService, make_page: Callable[[], Awaitable[Page]], *, vary: str = ""
) -> Response:
    """The page with its ETag and a link to the next page, or 304 if the client has it.

    The page depends on the request's path and query, on `vary` and on the index. It is made once per generation of the
    index.
    """

    async def make(generation: int | None) -> bytes:
        search.refresh(generation)
        return (await make_page()).to_bytes()

    path, query = request.scope["path"], request.scope["query_string"].decode("latin-1")
    key = blake2b(f"{path}?{query}{vary}".encode(), digest_size=16).hexdigest()
    body, generation = await search.cache.get_or_make(key, make)
    page = Page.from_bytes(body)
    headers = {} if page.next_cursor is None else {"Link": next_link(path, query, page.next_cursor)}
    if generation is None:
        return Response(page.content, 200, {**REVALIDATE, **headers}, "application/json")
    return tagged_json(request, page.content, f'"{generation:x}-{key}"', headers)


def cached_page(
    make_page: Callable[Concatenate[SearchService, Arguments], Awaitable[Page]],
) -> Callable[Concatenate[Request, SearchService, Arguments], Awaitable[Response]]:
    """Decorates a function that searches and renders a page: it takes the request too and returns `cached_response`."""

    @wraps(make_page)
    async def respond(
        request: Request, search: SearchService, /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Response:
        return await cached_response(request, search, lambda: make_page(search, *args, **kwargs))

    return respond

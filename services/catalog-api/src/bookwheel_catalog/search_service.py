"""Answers requests from the index: as new as the cache's generation, and out of the event loop where it is big."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Any, TypeVar

from bookwheel_contracts.problems import UnavailableError
from bookwheel_stores.cache import ResponseCache
from bookwheel_stores.search import IndexReader, SearchError
from bookwheel_stores.search.queries import Selection
from fastapi import Request, Response

from bookwheel_catalog.pages import Page, PageResponse, matches_etag, next_link

MakePage = Callable[[IndexReader], Page]
_Result = TypeVar("_Result")
_INLINE_BOOKS = 5_000
"""Up to so many books a search takes well under 2 ms: less than a thread's turn under load costs other requests."""
_SEARCHES = 16
"""So many searches wait for a server at once; threads of their own, so that a slow one holds up nothing else."""
_AWAY = "The search index is away."
_RETRY_SECONDS = 2


class Catalog:
    def __init__(self, reader: IndexReader, cache: ResponseCache) -> None:
        self._reader = reader
        self._cache = cache
        self._generation: int | None = None
        self._waiting = ThreadPoolExecutor(_SEARCHES, "search") if reader.blocks else None
        self._books = 0 if reader.blocks else reader.count(Selection())

    async def check(self) -> None:
        """Raises SearchError while the index does not answer."""
        await asyncio.to_thread(self._reader.check)

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.shutdown(wait=False)

    async def answer(self, request: Request, make: MakePage) -> Response:
        """The cached or newly made answer to a GET, with its ETag, or 304 where the client has it already."""
        path, query = request.scope["path"], request.scope["query_string"]
        key = blake2b(b"%b?%b" % (path.encode(), query), digest_size=16).hexdigest()
        frame, generation = await self._cache.answer(key, lambda current: self._make(current, make))
        page = Page.unframed(frame)
        headers = [(b"cache-control", b"private, no-cache")]
        if page.following is not None:
            headers.append((b"link", next_link(path, query.decode("latin-1"), page.following).encode("latin-1")))
        if generation is not None:
            etag = f'"{generation:x}-{key}"'
            headers.append((b"etag", etag.encode()))
            if matches_etag(request.headers.get("if-none-match"), etag):
                return PageResponse(304, headers)
        return PageResponse(200, headers, page.content)

    async def read(self, search: Callable[[IndexReader], _Result]) -> _Result:
        """Searches without the cache."""
        found = self._search(await self._cache.generation(), search)
        return await found if isinstance(found, Coroutine) else found

    def _make(self, generation: int | None, make: MakePage) -> bytes | Awaitable[bytes]:
        found = self._search(generation, make)
        return found.framed() if isinstance(found, Page) else _framed(found)

    def _search(
        self, generation: int | None, search: Callable[[IndexReader], _Result]
    ) -> _Result | Coroutine[Any, Any, _Result]:
        """At once where that is quick."""
        if self._waiting is not None:
            return self._wait_for(self._waiting, search)
        if not generation or generation != self._generation:
            self._reader.reload()
            self._books = self._reader.count(Selection())
            self._generation = generation
        if self._books <= _INLINE_BOOKS:
            return search(self._reader)
        return asyncio.to_thread(search, self._reader)

    async def _wait_for(self, searches: ThreadPoolExecutor, search: Callable[[IndexReader], _Result]) -> _Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(searches, search, self._reader)
        except SearchError as error:
            raise UnavailableError(_AWAY, retry_after=_RETRY_SECONDS) from error


async def _framed(page: Awaitable[Page]) -> bytes:
    return (await page).framed()

"""Answers requests from the index: as new as the cache's generation, and out of the event loop where it is big."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import TypeVar

from bookwheel_contracts.problems import Unavailable
from bookwheel_stores.cache import ResponseCache
from bookwheel_stores.search import IndexReader, SearchError
from bookwheel_stores.search.queries import Selection
from fastapi import Request, Response

from bookwheel_catalog.pages import Page, matches_etag, next_link

_Result = TypeVar("_Result")
_INLINE_BOOKS = 5_000
"""Up to so many books a search takes well under 2 ms: less than a thread's turn under load costs other requests."""
_SEARCHES = 16
"""So many searches wait for a server at once; threads of their own, so that a slow one holds up nothing else."""
_AWAY = "The search index is away."
_RETRY_SECONDS = 2


class Catalogue:
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

    async def answer(self, request: Request, make: Callable[[IndexReader], Page]) -> Response:
        """The cached or newly made answer to a GET, with its ETag, or 304 where the client has it already."""
        path, query = request.scope["path"], request.scope["query_string"]
        key = blake2b(b"%b?%b" % (path.encode(), query), digest_size=16).hexdigest()
        frame, generation = await self._cache.answer(key, lambda current: self._make(current, make))
        page = Page.unframed(frame)
        headers = {"Cache-Control": "private, no-cache"}
        if page.following is not None:
            headers["Link"] = next_link(path, query.decode("latin-1"), page.following)
        if generation is not None:
            headers["ETag"] = f'"{generation:x}-{key}"'
            if matches_etag(request.headers.get("if-none-match"), headers["ETag"]):
                return Response(None, 304, headers)
        return Response(page.content, 200, headers, "application/json")

    async def read(self, search: Callable[[IndexReader], _Result]) -> _Result:
        """Searches without the cache."""
        return await self._search(await self._cache.generation(), search)

    async def _make(self, generation: int | None, make: Callable[[IndexReader], Page]) -> bytes:
        return (await self._search(generation, make)).framed()

    async def _search(self, generation: int | None, search: Callable[[IndexReader], _Result]) -> _Result:
        if self._waiting is not None:
            try:
                return await asyncio.get_running_loop().run_in_executor(self._waiting, search, self._reader)
            except SearchError as error:
                raise Unavailable(_AWAY, retry_after=_RETRY_SECONDS) from error
        if not generation or generation != self._generation:
            self._reader.reload()
            self._books = self._reader.count(Selection())
            self._generation = generation
        if self._books <= _INLINE_BOOKS:
            return search(self._reader)
        return await asyncio.to_thread(search, self._reader)

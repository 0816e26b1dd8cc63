"""Searches the index without blocking the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from bookwheel_contracts.problems import UnavailableError
from bookwheel_stores.cache import ResponseCache
from bookwheel_stores.search import IndexReader, SearchError
from bookwheel_stores.search.queries import (
    SearchPage,
    SearchQuery,
    Selection,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_INLINE_BOOKS = 5_000
"""An index of so many books answers in under 2 ms: waiting for a thread under load takes longer."""
_SERVER_SEARCHES = 16
"""Concurrent searches on a server. Their own threads keep a slow search from delaying other routes."""
_UNAVAILABLE = "The search index is unavailable: retry later."
_RETRY_AFTER = 2


class SearchService:
    """Each search sees at least the generation of the latest `refresh`."""

    def __init__(self, reader: IndexReader, cache: ResponseCache) -> None:
        self.cache = cache
        self._reader = reader
        self._generation: int | None = None
        self._threads = ThreadPoolExecutor(_SERVER_SEARCHES, "search") if reader.is_blocking else None
        self._books = 0 if reader.is_blocking else reader.count(Selection())

    async def check(self) -> None:
        """Raises SearchError while the index does not answer."""
        await asyncio.to_thread(self._reader.ping)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    async def refresh_to_current(self) -> None:
        """Refreshes to the current generation, for searches outside the cache."""
        self.refresh(await self.cache.generation())

    def refresh(self, generation: int | None) -> None:
        """Reloads the index if it may be older than `generation`; None is an unknown one."""
        if self._threads is None and (not generation or generation != self._generation):
            self._reader.reload()
            self._books = self._reader.count(Selection())
            self._generation = generation

    async def search(self, query: SearchQuery) -> SearchPage:
        return await self._run(self._reader.search, query)

    async def statistics(self, selection: Selection) -> Statistics:
        return await self._run(self._reader.statistics, selection)

    async def statistics_by_category(self, selection: Selection, *, limit: int) -> list[Statistics]:
        return await self._run(self._reader.statistics_by_category, selection, limit=limit)

    async def terms(self, selection: Selection, name: str, *, limit: int) -> list[TermCount]:
        return await self._run(self._reader.count_terms, selection, name, limit=limit)

    async def distinct(self, selection: Selection, name: str) -> int:
        return await self._run(self._reader.count_distinct, selection, name)

    async def suggest(self, words: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return await self._run(self._reader.suggest, words, kinds, limit=limit)

    async def book_numbers(self, selection: Selection, *, limit: int) -> list[int]:
        return await self._run(self._reader.list_numbers, selection, limit=limit)

    async def _run(
        self, search: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Raises UnavailableError while the index's server does not answer."""
        if self._threads is None and self._books <= _INLINE_BOOKS:
            return search(*args, **kwargs)
        run = asyncio.get_running_loop().run_in_executor
        try:
            return await run(self._threads, lambda: search(*args, **kwargs))
        except SearchError as error:
            raise UnavailableError(_UNAVAILABLE, retry_after=_RETRY_AFTER) from error

"""Searches the index without blocking the event loop."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from bookwheel_contracts.problems import UnavailableError
from bookwheel_stores.cache import ResponseCache
from bookwheel_stores.search import IndexReader, SearchError
from bookwheel_stores.search.queries import (
    SearchCriteria,
    SearchPage,
    SearchQuery,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
_MAX_INLINE_BOOKS = 5_000
"""A search of a smaller index takes less than 2 ms. Under load, the switch to a thread takes longer."""
_MAX_CONCURRENT_SEARCHES = 16
"""Threads for searches on a search server. A slow search does not occupy the threads of other routes."""
_UNAVAILABLE = "The search index is unavailable: retry later."
_RETRY_AFTER = 2


class SearchService:
    """Runs searches. Each search uses the generation of the latest `refresh`, or a newer generation."""

    def __init__(self, reader: IndexReader, cache: ResponseCache) -> None:
        self.cache = cache
        self._reader = reader
        self._generation: int | None = None
        self._is_embedded = not reader.is_blocking
        self._threads = None if self._is_embedded else ThreadPoolExecutor(_MAX_CONCURRENT_SEARCHES, "search")
        self._book_count = reader.count(SearchCriteria()) if self._is_embedded else 0

    async def check(self) -> None:
        """Raises SearchError if the index is unavailable."""
        await asyncio.to_thread(self._reader.ping)

    def close(self) -> None:
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    async def reload_if_outdated(self) -> None:
        """Reloads the index if it is outdated. Call it before a search that does not use the response cache."""
        self.refresh(await self.cache.generation())

    def refresh(self, generation: int | None) -> None:
        """Reloads an embedded index if it may be older than `generation`. None means an unknown generation."""
        if self._is_embedded and (not generation or generation != self._generation):
            self._reader.reload()
            self._book_count = self._reader.count(SearchCriteria())
            self._generation = generation

    async def search(self, query: SearchQuery) -> SearchPage:
        return await self._run(self._reader.search, query)

    async def get_statistics(self, criteria: SearchCriteria) -> Statistics:
        return await self._run(self._reader.statistics, criteria)

    async def list_category_statistics(self, criteria: SearchCriteria, *, limit: int) -> list[Statistics]:
        return await self._run(self._reader.statistics_by_category, criteria, limit=limit)

    async def count_terms(self, criteria: SearchCriteria, field: str, *, limit: int) -> list[TermCount]:
        return await self._run(self._reader.count_terms, criteria, field, limit=limit)

    async def count_distinct(self, criteria: SearchCriteria, field: str) -> int:
        return await self._run(self._reader.count_distinct, criteria, field)

    async def suggest(self, words: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return await self._run(self._reader.suggest, words, kinds, limit=limit)

    async def list_book_numbers(self, criteria: SearchCriteria, *, limit: int) -> list[int]:
        return await self._run(self._reader.list_numbers, criteria, limit=limit)

    async def _run(
        self, search: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Runs a search inline or in a thread. Raises UnavailableError if the search server is unavailable."""
        if self._is_embedded and self._book_count <= _MAX_INLINE_BOOKS:
            return search(*args, **kwargs)
        run_in_executor = asyncio.get_running_loop().run_in_executor
        try:
            return await run_in_executor(self._threads, lambda: search(*args, **kwargs))
        except SearchError as error:
            raise UnavailableError(_UNAVAILABLE, retry_after=_RETRY_AFTER) from error

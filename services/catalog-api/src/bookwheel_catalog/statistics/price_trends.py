"""Price trends from the records, so limited that they never delay other routes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bookwheel_contracts.problems import InvalidParameterError, UnavailableError
from bookwheel_stores.records import DATABASE_ERRORS, BookReader, PricePoint
from bookwheel_stores.records.catalog.price_trend import Interval
from bookwheel_stores.search.queries import Selection

from bookwheel_catalog.concurrency_limit import ConcurrencyLimiter
from bookwheel_catalog.search.service import SearchService

MAX_BOOKS = 1_000_000
_THREADS = 2
"""Queries at a time. Each has a connection of the records; other routes need the rest."""
_MAX_REQUESTS, _MAX_SUBJECT_REQUESTS = 8, 2
_TIMEOUT_SECONDS = 10.0
_RETRY_AFTER = 10


@dataclass(frozen=True, slots=True)
class PriceTrendQuery:
    selection: Selection
    interval: Interval
    start: datetime
    end: datetime


class PriceTrendService:
    def __init__(self, books: BookReader, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._books = books
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(_THREADS, "price-trend")
        self._limiter = ConcurrencyLimiter("price statistics", limit=_MAX_REQUESTS, subject_limit=_MAX_SUBJECT_REQUESTS)

    async def get(self, search: SearchService, query: PriceTrendQuery, *, subject: str) -> list[PricePoint]:
        """Raises InvalidParameterError for too many intervals, RateLimitedError for too many requests of the subject,
        UnavailableError for too many in total or a query over the time limit. The query then ends as well."""
        with self._limiter.acquire(subject):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._read(search, query)
            except TimeoutError as error:
                detail = "The price statistics are unavailable: ask for fewer books or a shorter time."
                raise UnavailableError(detail, retry_after=_RETRY_AFTER) from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, search: SearchService, query: PriceTrendQuery) -> list[PricePoint]:
        numbers = None
        if query.selection != Selection():
            await search.refresh_to_current()
            numbers = await search.book_numbers(query.selection, limit=MAX_BOOKS)
        read = partial(
            self._books.price_trend,
            book_numbers=numbers,
            interval=query.interval,
            start=query.start,
            end=query.end,
            timeout_seconds=self._timeout_seconds,
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, read)
        except DATABASE_ERRORS as error:
            raise UnavailableError("The records are unavailable: retry later.", retry_after=1) from error
        except ValueError as error:
            raise InvalidParameterError(f"`from`, `to` or `interval` is invalid: {error}") from error

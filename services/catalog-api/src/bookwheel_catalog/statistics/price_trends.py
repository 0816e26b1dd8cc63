"""Computes price trends in the database, with limits that protect other routes from delays."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from bookwheel_contracts.problems import InvalidParameterError, UnavailableError
from bookwheel_stores.records import DATABASE_ERRORS, BookReader, PricePoint
from bookwheel_stores.records.catalog.price_trend import Interval
from bookwheel_stores.search.queries import SearchCriteria

from bookwheel_catalog.concurrency_limit import ConcurrencyLimiter
from bookwheel_catalog.search.service import SearchService

MAX_SELECTED_BOOKS = 1_000_000
_MAX_CONCURRENT_QUERIES = 2
"""Each query uses a database connection. Other routes need the rest of the connection pool."""
_MAX_REQUESTS, _MAX_SUBJECT_REQUESTS = 8, 2
_TIMEOUT_SECONDS = 10.0
_RETRY_AFTER = 10


@dataclass(frozen=True, slots=True)
class PriceTrendQuery:
    criteria: SearchCriteria
    interval: Interval
    start: datetime
    end: datetime


class PriceTrendService:
    def __init__(self, books: BookReader, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> None:
        self._books = books
        self._timeout_seconds = timeout_seconds
        self._threads = ThreadPoolExecutor(_MAX_CONCURRENT_QUERIES, "price-trend")
        self._limiter = ConcurrencyLimiter("price statistics", limit=_MAX_REQUESTS, subject_limit=_MAX_SUBJECT_REQUESTS)

    async def get(self, search: SearchService, query: PriceTrendQuery, *, subject: str) -> list[PricePoint]:
        """Returns the points of the trend.

        Raises InvalidParameterError for too many intervals, RateLimitedError if the subject has too many requests,
        UnavailableError if the process has too many requests or if the query exceeds its timeout.
        """
        with self._limiter.acquire(subject):
            try:
                async with asyncio.timeout(self._timeout_seconds):
                    return await self._read(search, query)
            except TimeoutError as error:
                detail = "The price statistics took too long: select fewer books or a shorter period."
                raise UnavailableError(detail, retry_after=_RETRY_AFTER) from error

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read(self, search: SearchService, query: PriceTrendQuery) -> list[PricePoint]:
        book_numbers = None
        if query.criteria != SearchCriteria():
            await search.reload_if_outdated()
            book_numbers = await search.list_book_numbers(query.criteria, limit=MAX_SELECTED_BOOKS)
        run_query = partial(
            self._books.price_trend,
            book_numbers=book_numbers,
            interval=query.interval,
            start=query.start,
            end=query.end,
            timeout_seconds=self._timeout_seconds,
        )
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, run_query)
        except DATABASE_ERRORS as error:
            raise UnavailableError("The database is unavailable: retry later.", retry_after=1) from error
        except ValueError as error:
            raise InvalidParameterError(f"`from`, `to` or `interval` is invalid: {error}") from error

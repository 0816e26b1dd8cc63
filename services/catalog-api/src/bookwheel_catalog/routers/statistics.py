"""What the catalogue holds, in numbers; every route takes the text and the filters of a search."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from bookwheel_contracts.problems import InvalidParameter
from bookwheel_stores.search import IndexReader
from bookwheel_stores.search.folding import folded_words
from bookwheel_stores.search.queries import Selection, SuggestionKind
from fastapi import APIRouter, Query, Request, Response

from bookwheel_catalog import answers
from bookwheel_catalog.dependencies import PartsOf, Reader, Selected
from bookwheel_catalog.models import (
    CategoryList,
    CategoryStatisticsList,
    Overview,
    PriceTrend,
    SuggestionList,
    TrendPoint,
)
from bookwheel_catalog.pages import Page
from bookwheel_catalog.parameters import read_time, reject

router = APIRouter(tags=["statistics"])
MAX_NAMES = 60_000
MAX_BOOKS = 1_000_000
DEFAULT_DAYS = 30


@router.get("/categories", response_class=Response, responses={200: {"model": CategoryList}}, tags=["books"])
async def categories(request: Request, parts: PartsOf, _: Reader, selection: Selected) -> Response:
    """Every category with its number of books, by name."""

    def make(index: IndexReader) -> Page:
        return Page(answers.category_list(index.terms(selection, "category", limit=MAX_NAMES)))

    return await parts.catalogue.answer(request, make)


@router.get("/suggest", response_class=Response, responses={200: {"model": SuggestionList}}, tags=["books"])
async def suggest(
    request: Request,
    parts: PartsOf,
    _: Reader,
    q: Annotated[str, Query(min_length=1, max_length=100, description="What has been typed so far.")],
    kinds: Annotated[list[SuggestionKind], Query(alias="type", default_factory=list, max_length=3)],
    limit: Annotated[int, Query(ge=1, le=50)] = 10,
) -> Response:
    """Completions to titles, authors and categories; of some letters on with typos allowed."""

    def make(index: IndexReader) -> Page:
        wanted = tuple(dict.fromkeys(kinds)) or tuple(SuggestionKind)
        return Page(answers.suggestion_list(index.suggest(folded_words(q), wanted, limit=limit)))

    return await parts.catalogue.answer(request, make)


@router.get("/stats/overview", response_class=Response, responses={200: {"model": Overview}})
async def overview(request: Request, parts: PartsOf, _: Reader, selection: Selected) -> Response:
    """How many books, of which sources, and their prices and ratings."""

    def make(index: IndexReader) -> Page:
        return Page(
            answers.overview(
                index.statistics(selection),
                categories=index.distinct(selection, "category"),
                authors=index.distinct(selection, "author"),
                sources=index.terms(selection, "source", limit=MAX_NAMES),
            )
        )

    return await parts.catalogue.answer(request, make)


@router.get("/stats/categories", response_class=Response, responses={200: {"model": CategoryStatisticsList}})
async def category_statistics(request: Request, parts: PartsOf, _: Reader, selection: Selected) -> Response:
    """The figures of each category."""

    def make(index: IndexReader) -> Page:
        return Page(answers.category_statistics(index.statistics_by_category(selection)))

    return await parts.catalogue.answer(request, make)


@router.get("/stats/prices")
async def price_trend(
    parts: PartsOf,
    _: Reader,
    selection: Selected,
    interval: Literal["day", "week", "month"] = "day",
    start: Annotated[str | None, Query(alias="from", max_length=40, description="A date or time.")] = None,
    end: Annotated[str | None, Query(alias="to", max_length=40, description="A date or time; by default now.")] = None,
) -> PriceTrend:
    """Prices over time: what was in force at the end of each interval, by default of the last 30 days."""
    until = datetime.now(UTC) if end is None else read_time("to", end, is_high=True)
    since = until - timedelta(days=DEFAULT_DAYS) if start is None else read_time("from", start, is_high=False)
    if since > until:
        reject("from", "is after the end of the time asked for")
    numbers = None
    if selection != Selection():
        numbers = await parts.catalogue.read(lambda index: index.numbers(selection, limit=MAX_BOOKS))
    try:
        found = await asyncio.to_thread(
            parts.books.price_trend, book_numbers=numbers, interval=interval, start=since, end=until
        )
    except ValueError as error:
        raise InvalidParameter(f"from, to, interval: {error}") from error
    points = [
        TrendPoint(
            time=point.time,
            currency=point.currency,
            count=point.count,
            min=point.min.amount,
            max=point.max.amount,
            avg=point.avg.amount,
        )
        for point in found
    ]
    return PriceTrend(interval=interval, points=tuple(points))

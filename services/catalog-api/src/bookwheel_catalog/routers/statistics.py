"""What the catalog holds, in numbers; every route takes the text and the filters of a search."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

from bookwheel_contracts.problems import InvalidParameterError
from bookwheel_stores.search import IndexReader
from bookwheel_stores.search.folding import folded_words
from bookwheel_stores.search.queries import Selection, SuggestionKind
from fastapi import Query, Request, Response

from bookwheel_catalog import answers
from bookwheel_catalog.dependencies import parts_of
from bookwheel_catalog.models import CategoryList, CategoryStatisticsList, Overview, PriceTrend, SuggestionList
from bookwheel_catalog.pages import Page
from bookwheel_catalog.query_route import query_router
from bookwheel_catalog.requests import SelectionQuery, SuggestQuery, TrendQuery
from bookwheel_catalog.search_service import MakePage

router = query_router("statistics")
MAX_SOURCES = 60_000
MAX_CATEGORIES = 10_000
MAX_SUMMARIES = 1_000
MAX_BOOKS = 1_000_000


@router.get("/categories", response_class=Response, responses={200: {"model": CategoryList}})
def categories(wanted: Annotated[SelectionQuery, Query()]) -> MakePage:
    """Every category with its number of books, by name; of more than 10,000 those with most books."""
    selection = wanted.selection()

    def make(index: IndexReader) -> Page:
        found = index.terms(selection, "category", limit=MAX_CATEGORIES + 1)
        return Page(answers.category_list(found[:MAX_CATEGORIES], complete=len(found) <= MAX_CATEGORIES))

    return make


@router.get("/suggest", response_class=Response, responses={200: {"model": SuggestionList}})
def suggest(wanted: Annotated[SuggestQuery, Query()]) -> MakePage:
    """Completions to titles, authors and categories; of some letters on with typos allowed."""

    def make(index: IndexReader) -> Page:
        kinds = tuple(dict.fromkeys(wanted.kinds)) or tuple(SuggestionKind)
        return Page(answers.suggestion_list(index.suggest(folded_words(wanted.q), kinds, limit=wanted.limit)))

    return make


@router.get("/stats/overview", response_class=Response, responses={200: {"model": Overview}})
def overview(wanted: Annotated[SelectionQuery, Query()]) -> MakePage:
    """How many books, of which sources, and their prices and ratings."""
    selection = wanted.selection()

    def make(index: IndexReader) -> Page:
        content = answers.overview(
            index.statistics(selection),
            categories=index.distinct(selection, "category"),
            authors=index.distinct(selection, "author"),
            sources=index.terms(selection, "source", limit=MAX_SOURCES),
        )
        return Page(content)

    return make


@router.get("/stats/categories", response_class=Response, responses={200: {"model": CategoryStatisticsList}})
def category_statistics(wanted: Annotated[SelectionQuery, Query()]) -> MakePage:
    """The figures of each category, by name; of more than 1,000 those with most books."""
    selection = wanted.selection()

    def make(index: IndexReader) -> Page:
        found = index.statistics_by_category(selection, limit=MAX_SUMMARIES)
        complete = len(found) < MAX_SUMMARIES or index.distinct(selection, "category") <= MAX_SUMMARIES
        return Page(answers.category_statistics(found, complete=complete))

    return make


@router.get("/stats/prices", response_class=Response, responses={200: {"model": PriceTrend}})
async def price_trend(request: Request, wanted: Annotated[TrendQuery, Query()]) -> Response:
    """Prices over time: what was in force at the end of each interval, by default of the last 30 days."""
    parts, selection = parts_of(request), wanted.selection()
    start, end = wanted.span(datetime.now(UTC))
    numbers = None
    if selection != Selection():
        numbers = await parts.catalog.read(lambda index: index.numbers(selection, limit=MAX_BOOKS))
    try:
        found = await asyncio.to_thread(
            parts.books.price_trend, book_numbers=numbers, interval=wanted.interval, start=start, end=end
        )
    except ValueError as error:
        raise InvalidParameterError(f"from, to, interval: {error}") from error
    return Response(answers.price_trend(wanted.interval, found), media_type="application/json")

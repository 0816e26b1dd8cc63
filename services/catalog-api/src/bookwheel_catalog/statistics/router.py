"""Figures of the catalog. Every route takes the text and the filters of a search."""

from datetime import UTC, datetime
from typing import Annotated

from bookwheel_stores.search.queries import Selection, SuggestionKind
from bookwheel_stores.search.text import fold_words
from fastapi import APIRouter, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, Reader
from bookwheel_catalog.search.pages import Page, cached_page, cached_response
from bookwheel_catalog.search.queries import SelectionParameters
from bookwheel_catalog.search.service import SearchService
from bookwheel_catalog.statistics.models import (
    CategoryList,
    CategoryStatisticsList,
    Overview,
    PriceTrend,
    SuggestionList,
)
from bookwheel_catalog.statistics.price_trends import PriceTrendQuery
from bookwheel_catalog.statistics.queries import PriceTrendParameters, SuggestionParameters
from bookwheel_catalog.statistics.rendering import (
    render_categories,
    render_category_statistics,
    render_overview,
    render_price_trend,
    render_suggestions,
)

router = APIRouter(prefix=API_PREFIX, tags=["statistics"])
MAX_SOURCES = 60_000
MAX_CATEGORIES = 10_000
MAX_SUMMARIES = 1_000


@router.get("/categories", response_class=Response, responses={200: {"model": CategoryList}})
async def list_categories(
    request: Request, dependencies: Injected, _: Reader, parameters: Annotated[SelectionParameters, Query()]
) -> Response:
    """Every category with its number of books, by name; of more than 10,000 those with most books."""
    return await _categories_page(request, dependencies.search, parameters.selection())


@router.get("/suggest", response_class=Response, responses={200: {"model": SuggestionList}})
async def suggest(
    request: Request, dependencies: Injected, _: Reader, parameters: Annotated[SuggestionParameters, Query()]
) -> Response:
    """Completions to titles, authors and categories. Longer beginnings may have typos."""
    kinds = tuple(dict.fromkeys(parameters.kinds)) or tuple(SuggestionKind)
    words = tuple(fold_words(parameters.q))
    return await _suggestions_page(request, dependencies.search, words, kinds, limit=parameters.limit)


@router.get("/stats/overview", response_class=Response, responses={200: {"model": Overview}})
async def get_overview(
    request: Request, dependencies: Injected, _: Reader, parameters: Annotated[SelectionParameters, Query()]
) -> Response:
    """How many books, of which sources, and their prices and ratings."""
    return await _overview_page(request, dependencies.search, parameters.selection())


@router.get("/stats/categories", response_class=Response, responses={200: {"model": CategoryStatisticsList}})
async def get_category_statistics(
    request: Request, dependencies: Injected, _: Reader, parameters: Annotated[SelectionParameters, Query()]
) -> Response:
    """The figures of each category, by name; of more than 1,000 those with most books."""
    return await _category_statistics_page(request, dependencies.search, parameters.selection())


@router.get("/stats/prices", response_class=Response, responses={200: {"model": PriceTrend}})
async def get_price_trend(
    request: Request, dependencies: Injected, claims: Reader, parameters: Annotated[PriceTrendParameters, Query()]
) -> Response:
    """Prices over time: those in force at the end of each interval, by default of the last 30 days."""
    now = datetime.now(UTC)
    start, end = parameters.span(now)
    query = PriceTrendQuery(parameters.selection(), parameters.interval, start, end)
    search, price_trends = dependencies.search, dependencies.price_trends

    async def make_page() -> Page:
        points = await price_trends.get(search, query, subject=claims.sub)
        return Page(render_price_trend(query.interval, points))

    # without `to`, the page changes with the day, though the index does not
    vary = "" if parameters.end else f"#{now:%Y-%m-%d}"
    return await cached_response(request, search, make_page, vary=vary)


@cached_page
async def _categories_page(search: SearchService, selection: Selection) -> Page:
    counts = await search.terms(selection, "category", limit=MAX_CATEGORIES + 1)
    return Page(render_categories(counts[:MAX_CATEGORIES], complete=len(counts) <= MAX_CATEGORIES))


@cached_page
async def _suggestions_page(
    search: SearchService, words: tuple[str, ...], kinds: tuple[SuggestionKind, ...], *, limit: int
) -> Page:
    return Page(render_suggestions(await search.suggest(words, kinds, limit=limit)))


@cached_page
async def _overview_page(search: SearchService, selection: Selection) -> Page:
    statistics = await search.statistics(selection)
    categories = await search.distinct(selection, "category")
    authors = await search.distinct(selection, "author")
    sources = await search.terms(selection, "source", limit=MAX_SOURCES)
    return Page(render_overview(statistics, categories=categories, authors=authors, sources=sources))


@cached_page
async def _category_statistics_page(search: SearchService, selection: Selection) -> Page:
    statistics = await search.statistics_by_category(selection, limit=MAX_SUMMARIES)
    complete = len(statistics) < MAX_SUMMARIES or await search.distinct(selection, "category") <= MAX_SUMMARIES
    return Page(render_category_statistics(statistics, complete=complete))

"""Routes of the statistics. They accept the text and the filters of a search, except suggestions."""

from datetime import UTC, datetime
from typing import Annotated

from bookwheel_stores.search.queries import SuggestionKind
from bookwheel_stores.search.text import fold_words
from fastapi import APIRouter, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, ReaderClaims
from bookwheel_catalog.search.page_cache import RenderedPage, cached_response
from bookwheel_catalog.search.parameters import CriteriaParameters
from bookwheel_catalog.statistics.models import (
    CategoryList,
    CategoryStatisticsList,
    Overview,
    PriceTrend,
    SuggestionList,
)
from bookwheel_catalog.statistics.parameters import PriceTrendParameters, SuggestionParameters
from bookwheel_catalog.statistics.price_trends import PriceTrendQuery
from bookwheel_catalog.statistics.rendering import (
    render_categories,
    render_category_statistics,
    render_overview,
    render_price_trend,
    render_suggestions,
)

router = APIRouter(prefix=API_PREFIX, tags=["statistics"])
MAX_LISTED_SOURCES = 60_000
MAX_CATEGORIES = 10_000
MAX_SUMMARIZED_CATEGORIES = 1_000


@router.get("/categories", response_class=Response, responses={200: {"model": CategoryList}})
async def list_categories(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[CriteriaParameters, Query()]
) -> Response:
    """Lists up to 10,000 categories with the most books, sorted by name, with their book counts."""
    criteria, search = parameters.criteria(), dependencies.search

    async def render_page() -> RenderedPage:
        counts = await search.count_terms(criteria, "category", limit=MAX_CATEGORIES + 1)
        return RenderedPage(render_categories(counts[:MAX_CATEGORIES], complete=len(counts) <= MAX_CATEGORIES))

    return await cached_response(request, search, render_page)


@router.get("/suggest", response_class=Response, responses={200: {"model": SuggestionList}})
async def suggest(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[SuggestionParameters, Query()]
) -> Response:
    """Suggests titles, authors and categories that start with a text. A longer text may contain typos."""
    kinds = tuple(dict.fromkeys(parameters.kinds)) or tuple(SuggestionKind)
    words, search = tuple(fold_words(parameters.q)), dependencies.search

    async def render_page() -> RenderedPage:
        return RenderedPage(render_suggestions(await search.suggest(words, kinds, limit=parameters.limit)))

    return await cached_response(request, search, render_page)


@router.get("/stats/overview", response_class=Response, responses={200: {"model": Overview}})
async def get_overview(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[CriteriaParameters, Query()]
) -> Response:
    """Returns the number of books, in total and by source, and a summary of their prices and ratings."""
    criteria, search = parameters.criteria(), dependencies.search

    async def render_page() -> RenderedPage:
        statistics = await search.get_statistics(criteria)
        categories = await search.count_distinct(criteria, "category")
        authors = await search.count_distinct(criteria, "author")
        sources = await search.count_terms(criteria, "source", limit=MAX_LISTED_SOURCES)
        return RenderedPage(render_overview(statistics, categories=categories, authors=authors, sources=sources))

    return await cached_response(request, search, render_page)


@router.get("/stats/categories", response_class=Response, responses={200: {"model": CategoryStatisticsList}})
async def get_category_statistics(
    request: Request, dependencies: Injected, _: ReaderClaims, parameters: Annotated[CriteriaParameters, Query()]
) -> Response:
    """Returns a summary of up to 1,000 categories with the most books, sorted by name."""
    criteria, search = parameters.criteria(), dependencies.search

    async def render_page() -> RenderedPage:
        statistics = await search.list_category_statistics(criteria, limit=MAX_SUMMARIZED_CATEGORIES)
        complete = (
            len(statistics) < MAX_SUMMARIZED_CATEGORIES
            or await search.count_distinct(criteria, "category") <= MAX_SUMMARIZED_CATEGORIES
        )
        return RenderedPage(render_category_statistics(statistics, complete=complete))

    return await cached_response(request, search, render_page)


@router.get("/stats/prices", response_class=Response, responses={200: {"model": PriceTrend}})
async def get_price_trend(
    request: Request,
    dependencies: Injected,
    claims: ReaderClaims,
    parameters: Annotated[PriceTrendParameters, Query()],
) -> Response:
    """Returns price statistics at the end of each interval, by default for the last 30 days."""
    now = datetime.now(UTC)
    start, end = parameters.period(now)
    query = PriceTrendQuery(parameters.criteria(), parameters.interval, start, end)
    search, price_trends = dependencies.search, dependencies.price_trends

    async def render_page() -> RenderedPage:
        points = await price_trends.get(search, query, subject=claims.sub)
        return RenderedPage(render_price_trend(query.interval, points))

    # without `to`, the page changes every day even if the index does not
    key_suffix = "" if parameters.end else f"#{now:%Y-%m-%d}"
    return await cached_response(request, search, render_page, key_suffix=key_suffix)

"""Sources and crawls."""

import asyncio
from typing import Annotated

from bookwheel_contracts import CrawlRun
from bookwheel_stores.search.queries import Selection
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog.dependencies import Crawler, PartsOf, Reader
from bookwheel_catalog.models import CrawlList, CrawlOrder, Source, SourceList

router = APIRouter(tags=["crawls"])
_MAX_SOURCES = 10_000


@router.get("/sources")
async def sources(parts: PartsOf, _: Reader) -> SourceList:
    """The declared sources, and how many books have offers of each."""
    declared = await asyncio.to_thread(parts.sources.declared)
    counts = await parts.catalogue.read(lambda index: index.terms(Selection(), "source", limit=_MAX_SOURCES))
    books = {each.value: each.count for each in counts}
    return SourceList(
        items=tuple(Source(**source.model_dump(), books=books.get(source.name, 0)) for source in declared)
    )


@router.post("/crawls", status_code=202)
async def start_crawl(
    request: Request, response: Response, parts: PartsOf, claims: Crawler, order: CrawlOrder
) -> CrawlRun:
    """Has a source crawled now. The answer's `Location` is where to follow it."""
    run = await asyncio.to_thread(parts.orders.place, order, requested_by=claims.sub)
    response.headers["Location"] = f"{request.url.path}/{run.id}"
    return run


@router.get("/crawls")
async def crawls(
    parts: PartsOf,
    _: Reader,
    source: Annotated[str | None, Query(max_length=100)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> CrawlList:
    """The latest crawls, newest first."""
    return CrawlList(items=tuple(await asyncio.to_thread(parts.orders.latest, source=source, limit=limit)))


@router.get("/crawls/{run_id}")
async def crawl(parts: PartsOf, _: Reader, run_id: Annotated[str, Path(max_length=512)]) -> CrawlRun:
    """A crawl with its counts as they are now."""
    return await asyncio.to_thread(parts.orders.get, run_id)

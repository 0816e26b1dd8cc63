"""Sources and crawls."""

import asyncio
from typing import Annotated

from bookwheel_contracts import CrawlRun, RunState
from bookwheel_stores.search.queries import Selection
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Crawler, Operator, PartsOf, Reader
from bookwheel_catalog.models import CrawlList, CrawlOrder, Source, SourceList

router = APIRouter(prefix=API_PREFIX, tags=["crawls"])
RunId = Annotated[str, Path(max_length=512)]
_MAX_SOURCES = 10_000


@router.get("/sources")
async def sources(parts: PartsOf, _: Reader) -> SourceList:
    """The declared sources, and how many books have offers of each."""
    declared = await asyncio.to_thread(parts.sources.declared)
    counts = await parts.catalog.read(lambda index: index.terms(Selection(), "source", limit=_MAX_SOURCES))
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
    state: Annotated[RunState | None, Query(description="`held` for those that wait for an operator.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> CrawlList:
    """The latest crawls, newest first."""
    found = await asyncio.to_thread(parts.orders.latest, source=source, state=state, limit=limit)
    return CrawlList(items=tuple(found))


@router.get("/crawls/{run_id}")
async def crawl(parts: PartsOf, _: Reader, run_id: RunId) -> CrawlRun:
    """A crawl with its counts as they are now."""
    return await asyncio.to_thread(parts.orders.get, run_id)


@router.post("/crawls/{run_id}/release", status_code=202)
async def release(parts: PartsOf, claims: Operator, run_id: RunId) -> CrawlRun:
    """Lets a held crawl into the catalog: within seconds what waits is applied and what it missed is removed."""
    return await asyncio.to_thread(parts.orders.decide, run_id, release=True, by=claims.sub)


@router.post("/crawls/{run_id}/discard", status_code=202)
async def discard(parts: PartsOf, claims: Operator, run_id: RunId) -> CrawlRun:
    """Keeps a held crawl out: what waits goes to quarantine, where it can be replayed, and the crawl is cancelled."""
    return await asyncio.to_thread(parts.orders.decide, run_id, release=False, by=claims.sub)

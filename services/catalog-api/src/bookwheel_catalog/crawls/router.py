"""Sources and crawls."""

import asyncio
from typing import Annotated

from bookwheel_contracts import CrawlRun
from bookwheel_stores.search.queries import Selection
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.crawls.models import CrawlList, CrawlListParameters, CreateCrawl, Source, SourceList
from bookwheel_catalog.dependencies import Crawler, Injected, Operator, Reader

router = APIRouter(prefix=API_PREFIX, tags=["crawls"])
RunId = Annotated[str, Path(max_length=512)]
_MAX_SOURCES = 10_000


@router.get("/sources")
async def list_sources(dependencies: Injected, _: Reader) -> SourceList:
    """The declared sources, and how many books have offers of each."""
    declared = await asyncio.to_thread(dependencies.sources.list)
    await dependencies.search.refresh_to_current()
    counts = await dependencies.search.terms(Selection(), "source", limit=_MAX_SOURCES)
    books = {term.value: term.count for term in counts}
    return SourceList(
        items=tuple(Source(**source.model_dump(), books=books.get(source.name, 0)) for source in declared)
    )


@router.post("/crawls", status_code=202)
async def create_crawl(
    request: Request, response: Response, dependencies: Injected, claims: Crawler, body: CreateCrawl
) -> CrawlRun:
    """Starts a crawl of a source. Follow it at the answer's `Location`."""
    run = await asyncio.to_thread(dependencies.crawls.submit, body, requested_by=claims.sub)
    response.headers["Location"] = f"{request.url.path}/{run.id}"
    return run


@router.get("/crawls")
async def list_crawls(
    dependencies: Injected, _: Reader, parameters: Annotated[CrawlListParameters, Query()]
) -> CrawlList:
    """The latest crawls, newest first."""
    runs = await asyncio.to_thread(
        dependencies.crawls.list_latest, source=parameters.source, state=parameters.state, limit=parameters.limit
    )
    return CrawlList(items=tuple(runs))


@router.get("/crawls/{run_id}")
async def get_crawl(dependencies: Injected, _: Reader, run_id: RunId) -> CrawlRun:
    """A crawl with its current counts."""
    return await asyncio.to_thread(dependencies.crawls.get, run_id)


@router.post("/crawls/{run_id}/release", status_code=202)
async def release_crawl(dependencies: Injected, claims: Operator, run_id: RunId) -> CrawlRun:
    """Releases a held crawl. Within seconds its items are applied and its missing offers are removed."""
    return await asyncio.to_thread(dependencies.crawls.decide, run_id, release=True, by=claims.sub)


@router.post("/crawls/{run_id}/discard", status_code=202)
async def discard_crawl(dependencies: Injected, claims: Operator, run_id: RunId) -> CrawlRun:
    """Discards a held crawl. Its items go to quarantine, where they can be replayed; the crawl is cancelled."""
    return await asyncio.to_thread(dependencies.crawls.decide, run_id, release=False, by=claims.sub)

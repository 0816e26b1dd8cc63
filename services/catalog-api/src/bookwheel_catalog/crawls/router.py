"""Routes of the sources and crawls."""

import asyncio
from typing import Annotated

from bookwheel_contracts import CrawlRun
from bookwheel_stores.search.queries import SearchCriteria
from fastapi import APIRouter, Path, Query, Request, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.crawls.models import (
    CrawlHold,
    CrawlList,
    CrawlListParameters,
    CrawlPageList,
    CrawlPageParameters,
    CreateCrawl,
    Source,
    SourceList,
)
from bookwheel_catalog.dependencies import CrawlerClaims, Injected, OperatorClaims, ReaderClaims

router = APIRouter(prefix=API_PREFIX, tags=["crawls"])
RunId = Annotated[str, Path(max_length=512)]
_MAX_SOURCES = 10_000


@router.get("/sources")
async def list_sources(dependencies: Injected, _: ReaderClaims) -> SourceList:
    """Lists the declared sources with the number of books that each offers."""
    declared_sources = await asyncio.to_thread(dependencies.sources.list)
    await dependencies.search.reload_if_outdated()
    term_counts = await dependencies.search.count_terms(SearchCriteria(), "source", limit=_MAX_SOURCES)
    book_counts = {term.value: term.count for term in term_counts}
    return SourceList(
        items=tuple(Source(**source.model_dump(), books=book_counts.get(source.name, 0)) for source in declared_sources)
    )


@router.post("/crawls", status_code=202)
async def create_crawl(
    request: Request, response: Response, dependencies: Injected, claims: CrawlerClaims, body: CreateCrawl
) -> CrawlRun:
    """Starts a crawl of a source. Follow its progress at the URL in the `Location` header."""
    run = await asyncio.to_thread(dependencies.crawls.submit, body, requested_by=claims.sub)
    response.headers["Location"] = f"{request.url.path}/{run.id}"
    return run


@router.get("/crawls")
async def list_crawls(
    dependencies: Injected, _: ReaderClaims, parameters: Annotated[CrawlListParameters, Query()]
) -> CrawlList:
    """Lists the latest crawls, newest first."""
    runs = await asyncio.to_thread(
        dependencies.crawls.list_latest, source=parameters.source, state=parameters.state, limit=parameters.limit
    )
    return CrawlList(items=tuple(runs))


@router.get("/crawls/{run_id}")
async def get_crawl(dependencies: Injected, _: ReaderClaims, run_id: RunId) -> CrawlRun:
    """Returns a crawl with its current counts."""
    return await asyncio.to_thread(dependencies.crawls.get, run_id)


@router.get("/crawls/{run_id}/pages")
async def list_crawl_pages(
    dependencies: Injected, _: ReaderClaims, run_id: RunId, parameters: Annotated[CrawlPageParameters, Query()]
) -> CrawlPageList:
    """Lists the pages of a crawl with their outcomes, in the order of their fetching.

    Pages are deleted some time after the end of the crawl, by default after 30 days. Their counts stay.
    """
    return await asyncio.to_thread(dependencies.crawls.list_pages, run_id, parameters)


@router.get("/crawls/{run_id}/hold")
async def get_crawl_hold(dependencies: Injected, _: ReaderClaims, run_id: RunId) -> CrawlHold:
    """Returns why a crawl is or was held, with examples of what it would add, change and remove."""
    return await asyncio.to_thread(dependencies.crawls.get_hold, run_id)


@router.post("/crawls/{run_id}/cancel", status_code=202)
async def cancel_crawl(dependencies: Injected, _: CrawlerClaims, run_id: RunId) -> CrawlRun:
    """Cancels a queued or running crawl. It stops within seconds; its items so far are processed."""
    return await asyncio.to_thread(dependencies.crawls.cancel, run_id)


@router.post("/crawls/{run_id}/release", status_code=202)
async def release_crawl(dependencies: Injected, claims: OperatorClaims, run_id: RunId) -> CrawlRun:
    """Releases a held crawl. Its items are applied and its missing offers are removed within seconds."""
    return await asyncio.to_thread(dependencies.crawls.decide, run_id, release=True, decided_by=claims.sub)


@router.post("/crawls/{run_id}/discard", status_code=202)
async def discard_crawl(dependencies: Injected, claims: OperatorClaims, run_id: RunId) -> CrawlRun:
    """Discards a held crawl. Its items go to quarantine, where they can be replayed; the crawl is cancelled."""
    return await asyncio.to_thread(dependencies.crawls.decide, run_id, release=False, decided_by=claims.sub)

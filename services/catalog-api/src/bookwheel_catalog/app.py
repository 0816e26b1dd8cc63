"""Wires the catalog service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.healthcheck import health_fault
from bookwheel_runtime.problem_responses import add_unavailable_handler
from bookwheel_runtime.tokens import TokenVerifier
from bookwheel_stores.cache import ResponseCache
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.records import (
    DATABASE_ERRORS,
    BookReader,
    FeedReader,
    RunStore,
    WebhookStore,
    connect_database,
    schema_fault,
)
from bookwheel_stores.records.feed.lag import FeedLag
from bookwheel_stores.records.feed.snapshots import SnapshotReader
from bookwheel_stores.records.runs.quality import QualityReader
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.search import open_index_reader
from bookwheel_stores.streams import connect_redis
from fastapi import FastAPI
from redis.asyncio import Redis as AsyncRedis

from bookwheel_catalog.change_tail import ChangeTail
from bookwheel_catalog.concurrency_limit import Places
from bookwheel_catalog.crawls import CrawlOrders, Sources
from bookwheel_catalog.dependencies import Dependencies
from bookwheel_catalog.exports import ExportShelf
from bookwheel_catalog.query_route import ShortWay
from bookwheel_catalog.reindexing import ReindexOrders
from bookwheel_catalog.routers import (
    books,
    changes,
    crawls,
    exports,
    quality,
    search_index,
    statistics,
    status,
    webhooks,
)
from bookwheel_catalog.search_service import Catalog
from bookwheel_catalog.settings import CatalogSettings
from bookwheel_catalog.suite_status import StatusBoard
from bookwheel_catalog.webhooks import Webhooks

_CACHE_TIMEOUT = 1.0  # seconds: a cache that takes longer than a search is none


def create_app(settings: CatalogSettings) -> ShortWay:
    """The service's ASGI app. Connects to nothing before it is started or asked."""
    engine = connect_database(settings.database_url)
    redis = connect_redis(settings.redis_url)
    # the cache has a timeout of its own for whole calls
    cache = ResponseCache(
        AsyncRedis.from_url(settings.redis_url, socket_timeout=None, socket_connect_timeout=_CACHE_TIMEOUT)
    )
    announcements = AsyncRedis.from_url(settings.redis_url, socket_connect_timeout=_CACHE_TIMEOUT)
    sources = Sources(redis)
    feed = FeedReader(engine)
    lake = Lake(LakeAddress(**settings.lake_options()))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.parts = Dependencies(
            catalog=Catalog(open_index_reader(settings.search_url), cache),
            books=BookReader(engine),
            sources=sources,
            orders=CrawlOrders(redis, RunStore(engine), sources),
            quality=QualityReader(engine),
            quarantine=QuarantineStore(engine),
            reindexing=ReindexOrders(redis),
            feed=feed,
            tail=ChangeTail(
                feed,
                announcements,
                listeners=settings.stream_listeners,
                listeners_of_subject=settings.stream_listeners_subject,
            ),
            stream_seconds=settings.stream_seconds,
            exports=ExportShelf(lake, SnapshotReader(engine), redis),
            made_downloads=Places(
                "downloads under way that are made for you",
                most=settings.made_downloads,
                most_of_subject=settings.made_downloads_subject,
            ),
            webhooks=Webhooks(WebhookStore(engine), feed, settings.webhook_private_addresses == "allow"),
            status=StatusBoard(redis, FeedLag(engine), RunStore(engine)),
        )
        herald = HeartbeatPublisher(redis, "catalog-api", fault=partial(health_fault, settings.port, "/readyz"))
        herald.start()
        yield
        await asyncio.to_thread(herald.stop)
        app.state.parts.catalog.close()
        await announcements.aclose()
        await cache.close()
        redis.close()
        engine.dispose()

    async def records_are_current() -> None:
        if fault := await asyncio.to_thread(schema_fault, engine):
            raise RuntimeError(fault)

    async def redis_answers() -> None:
        await asyncio.to_thread(redis.ping)

    async def index_answers() -> None:
        parts: Dependencies = app.state.parts
        await parts.catalog.check()

    app = create_service_app(
        title="Bookwheel catalog",
        description="Search, facets, statistics, history and crawls.",
        token_verifier=TokenVerifier(jwks_url=settings.jwks_url, issuer=settings.issuer),
        readiness={"records": records_are_current, "redis": redis_answers, "search": index_answers},
        lifespan=lifespan,
    )

    add_unavailable_handler(app, DATABASE_ERRORS, detail="The records are unavailable: retry later.")

    app.include_router(books.lists)
    for area in (books, statistics, changes, crawls, exports, quality, search_index, status, webhooks):
        app.include_router(area.router)
    return ShortWay(app, (books.lists, statistics.router))

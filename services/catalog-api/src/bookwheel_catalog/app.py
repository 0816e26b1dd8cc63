"""Creates and wires the catalog service."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from bookwheel_runtime.app_factory import create_service_app
from bookwheel_runtime.healthcheck import get_health_error
from bookwheel_runtime.problem_responses import add_unavailable_handler
from bookwheel_runtime.tokens import TokenVerifier
from bookwheel_stores.cache import ResponseCache, connect_redis_with_short_timeouts
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.records import (
    DATABASE_ERRORS,
    BookReader,
    FeedReader,
    RunStore,
    WebhookStore,
    connect_database,
    get_schema_error,
)
from bookwheel_stores.records.feed.lag import FeedLag
from bookwheel_stores.records.feed.snapshots import SnapshotReader
from bookwheel_stores.records.runs.field_faults import FieldFaultReader
from bookwheel_stores.records.runs.pages import RunPageReader
from bookwheel_stores.records.runs.quality import QualityReader
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from bookwheel_stores.search import open_index_reader
from bookwheel_stores.streams import connect_redis
from fastapi import FastAPI
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from starlette.middleware import Middleware

from bookwheel_catalog.books import router as books
from bookwheel_catalog.changes import router as changes
from bookwheel_catalog.changes.broadcaster import ChangeBroadcaster
from bookwheel_catalog.concurrency_limit import ConcurrencyLimiter
from bookwheel_catalog.crawls import router as crawls
from bookwheel_catalog.crawls.service import CrawlService, SourceRegistry
from bookwheel_catalog.dependencies import Dependencies
from bookwheel_catalog.exports import router as exports
from bookwheel_catalog.exports.service import ExportService
from bookwheel_catalog.fast_path import FastPathMiddleware
from bookwheel_catalog.index_builds import router as index_builds
from bookwheel_catalog.index_builds.service import IndexBuildService
from bookwheel_catalog.quality import router as quality
from bookwheel_catalog.search.service import SearchService
from bookwheel_catalog.settings import CatalogSettings
from bookwheel_catalog.statistics import router as statistics
from bookwheel_catalog.statistics.price_trends import PriceTrendService
from bookwheel_catalog.status import router as status
from bookwheel_catalog.status.service import StatusService
from bookwheel_catalog.webhooks import router as webhooks
from bookwheel_catalog.webhooks.service import WebhookService

_ROUTER_MODULES = (books, statistics, changes, crawls, exports, index_builds, quality, status, webhooks)


def create_app(settings: CatalogSettings, *, is_stopping: Callable[[], bool] = lambda: False) -> FastAPI:
    """Creates the app. It connects to stores when it starts.

    `is_stopping()` returns True while the server shuts down.
    """
    engine = connect_database(settings.database_url)
    redis = connect_redis(settings.redis_url)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        index = open_index_reader(settings.search_url)
        cache = ResponseCache(connect_redis_with_short_timeouts(settings.redis_url))
        notification_client = connect_redis_with_short_timeouts(settings.redis_url)
        dependencies = _wire(
            settings,
            engine,
            redis,
            search=SearchService(index, cache),
            broadcaster=ChangeBroadcaster(
                FeedReader(engine),
                notification_client,
                max_listeners=settings.stream_listeners,
                max_subject_listeners=settings.stream_listeners_subject,
                is_stopping=is_stopping,
            ),
        )
        app.state.dependencies = dependencies
        heartbeat = HeartbeatPublisher(
            redis, "catalog-api", get_error=partial(get_health_error, settings.port, "/readyz")
        )
        heartbeat.start()
        yield
        await asyncio.to_thread(heartbeat.stop)
        dependencies.price_trends.close()
        dependencies.search.close()
        await cache.close()
        await notification_client.aclose()
        redis.close()
        engine.dispose()

    async def check_database() -> None:
        if schema_error := await asyncio.to_thread(get_schema_error, engine):
            raise RuntimeError(schema_error)

    async def check_redis() -> None:
        await asyncio.to_thread(redis.ping)

    async def check_search() -> None:
        dependencies: Dependencies = app.state.dependencies
        await dependencies.search.check()

    app = create_service_app(
        title="Bookwheel catalog",
        description="Search, facets, statistics, history and crawls.",
        token_verifier=TokenVerifier(jwks_url=settings.jwks_url, issuer=settings.issuer),
        readiness={"records": check_database, "redis": check_redis, "search": check_search},
        lifespan=lifespan,
        middleware=[Middleware(FastPathMiddleware, routers=(books.router, statistics.router))],
    )
    add_unavailable_handler(app, DATABASE_ERRORS, detail="The database is unavailable: retry later.")
    add_unavailable_handler(app, [RedisError], detail="Redis is unavailable: retry later.")
    for router_module in _ROUTER_MODULES:
        app.include_router(router_module.router)
    return app


def _wire(
    settings: CatalogSettings, engine: Engine, redis: Redis, *, search: SearchService, broadcaster: ChangeBroadcaster
) -> Dependencies:
    book_reader, feed, runs, sources = BookReader(engine), FeedReader(engine), RunStore(engine), SourceRegistry(redis)
    return Dependencies(
        search=search,
        books=book_reader,
        price_trends=PriceTrendService(book_reader),
        sources=sources,
        crawls=CrawlService(redis, runs, RunPageReader(engine), sources),
        quality=QualityReader(engine),
        field_faults=FieldFaultReader(engine),
        quarantine=QuarantineStore(engine),
        index_builds=IndexBuildService(redis),
        feed=feed,
        broadcaster=broadcaster,
        stream_seconds=settings.stream_seconds,
        exports=ExportService(Lake(LakeAddress(**settings.lake_options())), SnapshotReader(engine), redis),
        generated_downloads=ConcurrencyLimiter(
            "generated downloads", limit=settings.made_downloads, subject_limit=settings.made_downloads_subject
        ),
        webhooks=WebhookService(WebhookStore(engine), feed, settings.webhook_private_addresses == "allow"),
        status=StatusService(redis, FeedLag(engine), runs),
    )

"""The dependencies of the endpoints: the wired services and the verified caller."""

from dataclasses import dataclass
from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_runtime.tokens import require_scope
from bookwheel_stores.records import BookReader, FeedReader
from bookwheel_stores.records.runs.field_faults import FieldFaultReader
from bookwheel_stores.records.runs.quality import QualityReader
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from fastapi import Depends, Request

from bookwheel_catalog.changes.broadcaster import ChangeBroadcaster
from bookwheel_catalog.concurrency_limit import ConcurrencyLimiter
from bookwheel_catalog.crawls.service import CrawlService, SourceRegistry
from bookwheel_catalog.exports.service import ExportService
from bookwheel_catalog.index_builds.service import IndexBuildService
from bookwheel_catalog.search.service import SearchService
from bookwheel_catalog.statistics.price_trends import PriceTrendService
from bookwheel_catalog.status.service import StatusService
from bookwheel_catalog.webhooks.service import WebhookService


@dataclass(frozen=True, slots=True)
class Dependencies:
    search: SearchService
    books: BookReader
    price_trends: PriceTrendService
    sources: SourceRegistry
    crawls: CrawlService
    index_builds: IndexBuildService
    quality: QualityReader
    field_faults: FieldFaultReader
    quarantine: QuarantineStore
    feed: FeedReader
    broadcaster: ChangeBroadcaster
    stream_seconds: float
    exports: ExportService
    generated_downloads: ConcurrencyLimiter
    webhooks: WebhookService
    status: StatusService


# async because FastAPI runs synchronous dependencies in a thread
async def get_dependencies(request: Request) -> Dependencies:
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Injected = Annotated[Dependencies, Depends(get_dependencies)]
ReaderClaims = Annotated[Claims, Depends(require_scope(Scope.CATALOG_READ))]
OperatorClaims = Annotated[Claims, Depends(require_scope(Scope.ADMIN))]
CrawlerClaims = Annotated[Claims, Depends(require_scope(Scope.CRAWL_WRITE))]

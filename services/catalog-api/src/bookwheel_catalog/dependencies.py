"""What routes are given: the wired parts of the app, and the verified caller."""

from dataclasses import dataclass
from typing import Annotated

from bookwheel_contracts import Claims, Scope
from bookwheel_runtime.tokens import require_scope
from bookwheel_stores.records import BookReader, FeedReader
from bookwheel_stores.records.runs.quality import QualityReader
from bookwheel_stores.records.runs.quarantine import QuarantineStore
from fastapi import Depends, Request

from bookwheel_catalog.change_tail import ChangeTail
from bookwheel_catalog.concurrency_limit import Places
from bookwheel_catalog.crawls import CrawlOrders, Sources
from bookwheel_catalog.exports import ExportShelf
from bookwheel_catalog.reindexing import ReindexOrders
from bookwheel_catalog.search_service import Catalog
from bookwheel_catalog.suite_status import StatusBoard
from bookwheel_catalog.webhooks import Webhooks


@dataclass(frozen=True, slots=True)
class Dependencies:
    catalog: Catalog
    books: BookReader
    sources: Sources
    orders: CrawlOrders
    reindexing: ReindexOrders
    quality: QualityReader
    quarantine: QuarantineStore
    feed: FeedReader
    tail: ChangeTail
    stream_seconds: float
    exports: ExportShelf
    made_downloads: Places
    webhooks: Webhooks
    status: StatusBoard


def parts_of(request: Request) -> Dependencies:
    parts: Dependencies = request.app.state.parts
    return parts


# asynchronous, though nothing is awaited: FastAPI sends any other dependency through a thread
async def _parts(request: Request) -> Dependencies:
    return parts_of(request)


PartsOf = Annotated[Dependencies, Depends(_parts)]
Reader = Annotated[Claims, Depends(require_scope(Scope.CATALOG_READ))]
Operator = Annotated[Claims, Depends(require_scope(Scope.ADMIN))]
Crawler = Annotated[Claims, Depends(require_scope(Scope.CRAWL_WRITE))]

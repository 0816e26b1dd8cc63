"""The status of the suite: heartbeats, lags and the latest index sweep."""

from enum import StrEnum
from types import MappingProxyType

from pydantic import ConfigDict, Field

from bookwheel_contracts.crawls import CrawlRun
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.redis_keys import (
    CRAWL_STREAM,
    EXPORT_STREAM,
    PREDICTION_STREAM,
    RAW_GROUPS,
    RAW_STREAM,
    REINDEX_STREAM,
)

HEARTBEAT_SECONDS = 5.0
HEARTBEAT_TIMEOUT_SECONDS = 20.0
"""A replica without a heartbeat for this time counts as unavailable."""
REPLICA_RETENTION_SECONDS = 300.0
"""A replica that was killed is listed for this time."""
SERVICES = ("accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor-worker", "processor-beat")
"""The services that publish heartbeats. The gateway publishes none, because nginx cannot."""
STREAM_GROUPS = MappingProxyType(
    {
        RAW_STREAM: RAW_GROUPS,
        CRAWL_STREAM: ("scraper",),
        PREDICTION_STREAM: ("processor",),
        REINDEX_STREAM: ("processor",),
        EXPORT_STREAM: ("processor",),
    }
)
"""The consumer groups of each stream."""


class ModelRef(Contract):
    name: str
    version: str


class Heartbeat(Contract):
    """The state of a replica.

    `instance` is the host name. `reason` is the reason why the replica is not ready. `model` is the served model.
    `progress_seconds` is the time since the last progress of a replica with continuous work.
    """

    model_config = ConfigDict(extra="ignore")  # a newer version may add fields

    service: str
    instance: str
    version: str
    started_at: Timestamp
    seen_at: Timestamp
    ready: bool
    reason: str | None = None
    progress_seconds: float | None = None
    model: ModelRef | None = None


class Replica(Heartbeat):
    """`silent_seconds` is the time since the last heartbeat, by the clock of Redis."""

    silent_seconds: float = Field(ge=0)


class ServiceStatus(Contract):
    """`ready` is the number of ready replicas with a recent heartbeat."""

    name: str
    ready: int
    replicas: tuple[Replica, ...]


class StreamLag(Contract):
    """The backlog of a consumer group.

    `lag` is the number of entries that the group has not acknowledged. `pending` of these entries are delivered to a
    consumer. `oldest_seconds` is the age of the oldest entry.
    """

    stream: str
    group: str
    lag: int = Field(ge=0)
    pending: int = Field(ge=0)
    oldest_seconds: float | None = None


class ProjectionLag(Contract):
    """The lag of a projection: `search`, `lake` or `lake-books`.

    `seconds` is the age of the oldest change that the projection does not contain; 0 without a lag.
    """

    name: str
    head: int
    cursor: int
    seconds: float = Field(ge=0)


class IndexComparison(Contract):
    """The result of an index sweep.

    `books`: books compared. `differing`: books that differ from the records. `repaired`: differing books that were
    repaired. `rejected`: differing books that the engine rejected. `rebuild`: whether an index build was started.
    """

    model_config = ConfigDict(extra="ignore")  # a newer version may add fields

    at: Timestamp
    books: int
    differing: int
    repaired: int
    rejected: int
    rebuild: bool


class Level(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"


class SuiteStatus(Contract):
    """An unavailable part is null. `faults` maps its name to the reason."""

    status: Level
    faults: dict[str, str]
    checked_at: Timestamp
    services: tuple[ServiceStatus, ...] | None
    streams: tuple[StreamLag, ...] | None
    projections: tuple[ProjectionLag, ...] | None
    index: IndexComparison | None = Field(
        default=None, description="The latest comparison of the search index with the records."
    )
    items: dict[str, int] | None = Field(description="Items of all crawls, by verdict.")
    crawls: tuple[CrawlRun, ...] | None = Field(description="The latest crawls.")
    models: tuple[ModelRef, ...] | None = Field(description="The models that are currently served.")

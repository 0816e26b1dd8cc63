"""How the suite is: what its programs tell of themselves in Redis, and what is asked of streams and records."""

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
"""A replica that has not been heard for so long is counted as away."""
REPLICA_RETENTION_SECONDS = 300.0
"""One that ended without a word is remembered for so long."""
SERVICES = ("accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor-worker", "processor-beat")
"""The programs that tell of themselves. The gateway, being nginx, does not: what comes through it shows it is up."""
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
    """What a replica tells of itself. `instance` is its host's name, `reason` why it is not ready, `model` the one that
    it serves. `progress_seconds` is how long ago it last got on with its work, where it does so all the time.
    """

    model_config = ConfigDict(extra="ignore")  # one of a newer version may tell more

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
    """`silent_seconds` is how long ago it last told of itself, by Redis' clock."""

    silent_seconds: float = Field(ge=0)


class ServiceStatus(Contract):
    """`ready` is how many of its replicas are: those that are away are not."""

    name: str
    ready: int
    replicas: tuple[Replica, ...]


class StreamLag(Contract):
    """What a stream holds for one of its consumer groups: entries not acknowledged, of these handed out `pending`, and
    the age of the oldest of them."""

    stream: str
    group: str
    lag: int = Field(ge=0)
    pending: int = Field(ge=0)
    oldest_seconds: float | None = None


class ProjectionLag(Contract):
    """How far a reader of the change feed is behind it: the `search` index, the `lake`, the `lake-books`.

    `seconds` is the age of the oldest change that it does not hold, 0 where it holds all.
    """

    name: str
    head: int
    cursor: int
    seconds: float = Field(ge=0)


class IndexComparison(Contract):
    """What a comparison of the search index with the records found: of their `books` so many `differing`, of these
    `repaired`, and `rejected` by the engine for good. `rebuild`: the index is built anew.
    """

    model_config = ConfigDict(extra="ignore")  # one of a newer version may tell more

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
    """A part that can't be asked is null, and `faults` tells why: its name, and what went wrong."""

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
    crawls: tuple[CrawlRun, ...] | None = Field(description="The latest.")
    models: tuple[ModelRef, ...] | None = Field(description="Those that are served right now.")

"""From the scraper to the processor: raw items, the events of a run, and the run's accounting."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract, Timestamp

RAW_STREAM = "bookwheel:raw"
"""RawItem, RunStarted and RunFinished; read by each of `RAW_GROUPS`."""
RAW_GROUPS = ("processor", "lake")
"""Consumer groups of the raw stream: an entry stays in it until both have acknowledged it."""
CRAWL_STREAM = "bookwheel:crawls"
"""CrawlRequest; read by the consumer group `scraper`."""
SCHEMA_VERSION = 1


class RunState(StrEnum):
    """`partial`: ended early by a cap, a stop or errors, yet published; `failed`: published nothing for an error."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """What became of a scraped item. Every item has exactly one."""

    ADDED = "added"
    MODIFIED = "modified"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


class RawItem(Contract):
    """One scraped page, as found.

    `item_number` counts the items of a run from 1: with `run_id` it identifies the item however often it is delivered.
    `payload` holds what the page says, uncleaned, under the names of `RAW_FIELDS`. `fingerprint` is the SHA-256 hex of
    the payload's canonical JSON.
    """

    kind: Literal["item"] = "item"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    item_number: int = Field(ge=1)
    source: str
    url: str
    scraped_at: Timestamp
    payload: dict[str, JsonValue]
    fingerprint: str
    traceparent: str


RAW_FIELDS = frozenset(
    {
        "key",  # UPC, SKU or other identity within the source
        "isbn",
        "title",
        "authors",  # a string or a list of strings
        "category",  # a string or a list from general to special
        "description",
        "language",
        "price",
        "currency",
        "availability",
        "stock",
        "rating",
        "rating_best",  # the top of the rating's scale; 5 where absent
        "rating_count",
        "image_url",
    }
)


class RunStarted(Contract):
    kind: Literal["run_started"] = "run_started"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    source: str
    start_url: str
    started_at: Timestamp
    traceparent: str


class RunFinished(Contract):
    """`scraped` is the number of items published, the right-hand side of the run's accounting."""

    kind: Literal["run_finished"] = "run_finished"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    source: str
    finished_at: Timestamp
    state: Literal[RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED]
    reason: str | None
    scraped: int = Field(ge=0)
    pages: int = Field(ge=0)
    errors: int = Field(ge=0)
    traceparent: str


StreamMessage = Annotated[RawItem | RunStarted | RunFinished, Field(discriminator="kind")]
_stream_message: TypeAdapter[RawItem | RunStarted | RunFinished] = TypeAdapter(StreamMessage)


def parse_stream_message(body: bytes) -> RawItem | RunStarted | RunFinished:
    """Reads one entry of `RAW_STREAM`. Raises pydantic's ValidationError, whose text names what is wrong."""
    return _stream_message.validate_json(body)


class CrawlRequest(Contract):
    """One entry of `CRAWL_STREAM`: crawl this source now."""

    run_id: str
    source: str
    start_url: str | None
    requested_at: Timestamp
    requested_by: str
    traceparent: str


class CrawlCounts(Contract):
    """scraped = added + modified + unchanged + duplicate + quarantined, once the run has ended."""

    scraped: int = 0
    added: int = 0
    modified: int = 0
    unchanged: int = 0
    duplicate: int = 0
    quarantined: int = 0


class CrawlRun(Contract):
    """A crawl as the API shows it. `searchable` is true once the index holds all of its changes."""

    id: str = Field(max_length=MAX_KEY_LENGTH)
    source: str
    start_url: str | None
    state: RunState
    reason: str | None
    requested_at: Timestamp | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    counts: CrawlCounts
    pages: int
    errors: int
    searchable: bool

"""From the scraper to the processor: raw items, the events of a run, and the run's accounting."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, field_validator, model_validator

from bookwheel_contracts.books import BOOK_DETAILS
from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract, Timestamp

SCHEMA_VERSION = 1
SITE_MARK = "@"
"""What the key of an offer begins with whose page is on none of its source's own sites: `@shop.example~SKU-1`."""


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
    `site` is the host that the run was led to, with its port where that is not the usual one, if it is none of those
    that the source declares; None otherwise. `payload` holds what the page says, uncleaned, under the names of
    `RAW_FIELDS`. `fingerprint` is the SHA-256 hex of the payload's canonical JSON.
    """

    kind: Literal["item"] = "item"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    item_number: int = Field(ge=1)
    source: str
    site: str | None = Field(default=None, pattern=r"^[a-z0-9._:\[\]-]+$", max_length=260)
    url: str
    scraped_at: Timestamp
    payload: dict[str, JsonValue]
    fingerprint: str
    traceparent: str


_DETAIL_NAMES = tuple(BOOK_DETAILS)
_RATING_AT = _DETAIL_NAMES.index("rating")
RAW_FIELDS = frozenset(BOOK_DETAILS) - {"isbn13"} | {
    "key",  # UPC, SKU or other identity within the source
    "isbn",
    "price",
    "currency",
    "availability",
    "stock",
    "rating_best",  # the top of the rating's scale; 5 where absent
}
"""The fields of an item's payload. `authors` is a string or a list, `category` also a list from general to special."""
FILL_FIELDS = (*_DETAIL_NAMES[:_RATING_AT], "price", "stock", *_DETAIL_NAMES[_RATING_AT:])
"""The fields of a book that a page may fill, which quality is measured by."""
Share = Annotated[float, Field(ge=0, le=1)]


class Expectations(Contract):
    """What a source's runs are held to, by its declaration; null leaves it to the processor's settings.

    `share`: a run that would change or remove more than this share of the source's offers is held; 1 never holds one.
    `floor`: of a source with fewer offers no run is held for that. `grace`: an offer is removed once so many complete
    runs in a row did not see it. `items` is the least number of items of a complete run, `fill` the least share of
    items that have a field: a run that falls short is held.
    """

    share: Share | None = None
    floor: int | None = Field(default=None, ge=0)
    grace: int | None = Field(default=None, ge=1, le=100)
    items: int | None = Field(default=None, ge=0)
    fill: dict[str, Share] = Field(default_factory=dict)

    @field_validator("fill")
    @classmethod
    def _known_fields(cls, fill: dict[str, float]) -> dict[str, float]:
        for name in fill:
            if name not in FILL_FIELDS:
                raise ValueError(f"{name!r} is no field of an item; there are {', '.join(FILL_FIELDS)}")
        return fill


class RunStarted(Contract):
    """`whole_source`: the crawl starts at the source's own pages, so what it does not see is not there any more."""

    kind: Literal["run_started"] = "run_started"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    source: str
    start_url: str
    started_at: Timestamp
    whole_source: bool = False
    expect: Expectations = Expectations()
    traceparent: str


class RunFinished(Contract):
    """`scraped` is the number of items published, the right-hand side of the run's accounting. `start` is the start of
    the attempt that ends, once more: a Redis that loses its latest writes may have lost that one alone.
    """

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
    start: RunStarted | None = None
    traceparent: str

    @model_validator(mode="after")
    def _one_run(self) -> Self:
        if self.start is not None and (self.start.run_id, self.start.source) != (self.run_id, self.source):
            raise ValueError("start: it is another run's")
        return self


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
    """scraped = added + modified + unchanged + duplicate + quarantined, once the run has ended.

    `staged` are items that would modify the catalog and wait until it is sure, or an operator says, that they may.
    """

    scraped: int = 0
    added: int = 0
    modified: int = 0
    unchanged: int = 0
    duplicate: int = 0
    quarantined: int = 0
    staged: int = 0


class HoldReason(Contract):
    """Why a run is held. `actual` is beyond `limit`: offers for `share`, items for `items`, a share for `fill`.

    `share`: the run would modify or remove too many of the source's offers. `items`: it has too few items.
    `fill`: too few of its items have `field`.
    """

    code: Literal["share", "items", "fill"]
    field: str | None = None
    limit: float
    actual: float
    message: str


class Hold(Contract):
    """A run that is held, or was: before any of it but additions touched the catalog.

    `known` is the number of the source's offers when the run began, of which it would modify `modifies` and remove
    `removes`. `decision` is null until an operator decides, then what became of the staged items.
    """

    reasons: tuple[HoldReason, ...]
    known: int
    modifies: int
    removes: int
    decision: Literal["released", "discarded"] | None = None
    decided_at: Timestamp | None = None
    decided_by: str | None = None


class CrawlRun(Contract):
    """A crawl as the API shows it. `searchable` is true once it has ended and the index holds all of its changes.

    `missed` is how many of the source's offers a complete run did not see, `removed` how many it removed because
    enough runs in a row had not seen them.
    """

    id: str = Field(max_length=MAX_KEY_LENGTH)
    source: str
    start_url: str | None
    state: RunState
    reason: str | None
    requested_at: Timestamp | None
    started_at: Timestamp | None
    finished_at: Timestamp | None
    counts: CrawlCounts
    missed: int = 0
    removed: int = 0
    hold: Hold | None = None
    pages: int
    errors: int
    searchable: bool

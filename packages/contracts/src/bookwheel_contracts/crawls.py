"""Messages from the scraper to the processor, crawl requests, and the state and counts of runs."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, field_validator, model_validator

from bookwheel_contracts.books import BOOK_DETAILS
from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract, Timestamp

SCHEMA_VERSION = 1
UNDECLARED_SITE_PREFIX = "@"
"""The prefix of source keys of offers on sites that their source does not declare: `@shop.example~SKU-1`."""


class RunState(StrEnum):
    """The state of a run.

    `partial`: the run has items but a limit, a stop or errors ended it early. `failed`: an error and no items.
    `held`: the run waits for the decision of an operator. `cancelled`: stopped before its end, or discarded by an
    operator.
    """

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETE = "complete"
    PARTIAL = "partial"
    FAILED = "failed"
    HELD = "held"
    CANCELLED = "cancelled"


class Verdict(StrEnum):
    """The result of a scraped item. Every item gets exactly one."""

    ADDED = "added"
    MODIFIED = "modified"
    UNCHANGED = "unchanged"
    DUPLICATE = "duplicate"
    QUARANTINED = "quarantined"


class RawItem(Contract):
    """The uncleaned content of one scraped page.

    `item_number` counts the items of a run from 1. Together with `run_id` it identifies the item in every delivery.
    `site` is None if the source declares the site of the run. Otherwise it is the host, with the port unless that is
    the default. The keys of `payload` are `RAW_FIELDS`. `fingerprint` is the SHA-256 of its canonical JSON.
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
_RATING_INDEX = _DETAIL_NAMES.index("rating")
RAW_FIELDS = frozenset(BOOK_DETAILS) - {"isbn13"} | {
    "key",  # UPC, SKU or another identifier within the source
    "isbn",
    "price",
    "currency",
    "availability",
    "stock",
    "rating_best",  # the maximum of the rating's scale; 5 if absent
}
"""The fields of an item's payload. `authors` and `category` may be lists. The most general category is first."""
FILL_FIELDS = (*_DETAIL_NAMES[:_RATING_INDEX], "price", "stock", *_DETAIL_NAMES[_RATING_INDEX:])
"""The fields of a book that a page may fill. The quality of a run is measured by them."""
Share = Annotated[float, Field(ge=0, le=1)]


class Expectations(Contract):
    """The hold policy in a source's declaration; null means the processor's setting.

    A run that exceeds `share` or is below `items` or `fill` is held.
    """

    share: Share | None = None
    """The maximum share of the source's offers that a run may modify or remove; 1 disables the limit."""
    floor: int | None = Field(default=None, ge=0)
    """A source with fewer offers is exempt from `share`."""
    grace: int | None = Field(default=None, ge=1, le=100)
    """An offer is removed after this number of consecutive complete runs without it."""
    items: int | None = Field(default=None, ge=0)
    """The minimum number of items of a complete run."""
    fill: dict[str, Share] = Field(default_factory=dict)
    """The minimum share of items with a field, by field."""

    @field_validator("fill")
    @classmethod
    def _check_fields(cls, fill: dict[str, float]) -> dict[str, float]:
        for name in fill:
            if name not in FILL_FIELDS:
                raise ValueError(f"{name!r} is not a field of an item: use {', '.join(FILL_FIELDS)}")
        return fill


class RunStarted(Contract):
    """`whole_source`: the crawl starts at the source's declared start URLs. Offers that it does not see are missing."""

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
    """`scraped` is the number of published items.

    `start` repeats the start message of the attempt, in case Redis lost it.
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
    def _check_start(self) -> Self:
        if self.start is not None and (self.start.run_id, self.start.source) != (self.run_id, self.source):
            raise ValueError("start: must have the same run_id and source")
        return self


StreamMessage = Annotated[RawItem | RunStarted | RunFinished, Field(discriminator="kind")]
_stream_message: TypeAdapter[RawItem | RunStarted | RunFinished] = TypeAdapter(StreamMessage)


def parse_stream_message(body: bytes) -> RawItem | RunStarted | RunFinished:
    """Parses one entry of `RAW_STREAM`. Raises pydantic's ValidationError."""
    return _stream_message.validate_json(body)


class CrawlRequest(Contract):
    """One entry of `CRAWL_STREAM`: a request to crawl this source now."""

    run_id: str
    source: str
    start_url: str | None
    requested_at: Timestamp
    requested_by: str
    traceparent: str


class CrawlCounts(Contract):
    """After the end of the run, scraped = added + modified + unchanged + duplicate + quarantined.

    `staged` items would modify offers. They are stored until the run is approved.
    """

    scraped: int = 0
    added: int = 0
    modified: int = 0
    unchanged: int = 0
    duplicate: int = 0
    quarantined: int = 0
    staged: int = 0


class HoldReason(Contract):
    """Why a run is held.

    `share`: the run would modify or remove too many of the source's offers. `items`: the run has too few items.
    `fill`: too few of its items have `field`. For `share`, `limit` and `actual` are numbers of offers. For `items` they
    are numbers of items. For `fill` they are shares.
    """

    code: Literal["share", "items", "fill"]
    field: str | None = None
    limit: float
    actual: float
    message: str


class Hold(Contract):
    """Why a run is held and what it would change. Modifications and removals wait; only additions were applied.

    `known` is the number of the source's offers at the start of the run. The run would modify `modifies` of them and
    remove `removes`. `decision` is null until an operator decides.
    """

    reasons: tuple[HoldReason, ...]
    known: int
    modifies: int
    removes: int
    decision: Literal["released", "discarded"] | None = None
    decided_at: Timestamp | None = None
    decided_by: str | None = None


class CrawlRun(Contract):
    """A crawl in the API. `searchable`: the run has ended and the index contains all its changes.

    `missed` is the number of the source's offers that a complete run did not see. `removed` is the number of offers
    that it removed, because enough consecutive runs did not see them.
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

"""Messages from the scraper to the processor, crawl requests, and the accounting of runs."""

from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, TypeAdapter, field_validator, model_validator

from bookwheel_contracts.books import BOOK_DETAILS
from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract, Timestamp

SCHEMA_VERSION = 1
SITE_MARK = "@"
"""Begins the source key of an offer on a site not declared by its source: `@shop.example~SKU-1`."""


class RunState(StrEnum):
    """`partial`: ended early by a cap, a stop or errors, with items; `failed`: an error, no items."""

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
    """One scraped page, as found.

    `item_number` counts the items of a run from 1; with `run_id` it identifies the item in every delivery. `site` is
    the host, with a non-default port, of a run on a site that its source does not declare; else None. `payload` is the
    uncleaned content under the names of `RAW_FIELDS`. `fingerprint` is the SHA-256 of the payload's canonical JSON.
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
    """The hold policy in a source's declaration; null means the processor's setting.

    `share`: a run that would modify or remove more than this share of the source's offers is held; 1 turns this off.
    `floor`: a source with fewer offers is exempt from `share`. `grace`: an offer is removed after so many complete runs
    in a row did not see it. `items`: the minimum number of items of a complete run. `fill`: the minimum share of items
    with a field. A run below a minimum is held.
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
                raise ValueError(f"{name!r} is not a field of an item: use {', '.join(FILL_FIELDS)}")
        return fill


class RunStarted(Contract):
    """`whole_source`: the crawl starts at the source's own pages, so offers that it does not see are missing."""

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
    """`scraped` is the number of published items. `start` repeats the start event of the attempt, in case Redis lost
    it.
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
            raise ValueError("start: must be of the same run")
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
    """scraped = added + modified + unchanged + duplicate + quarantined, once the run has ended.

    `staged` items would modify offers and wait for the run's approval.
    """

    scraped: int = 0
    added: int = 0
    modified: int = 0
    unchanged: int = 0
    duplicate: int = 0
    quarantined: int = 0
    staged: int = 0


class HoldReason(Contract):
    """Why a run is held. `limit` and `actual` count offers for `share`, items for `items`, and are shares for `fill`.

    `share`: the run would modify or remove too many of the source's offers. `items`: it has too few items.
    `fill`: too few of its items have `field`.
    """

    code: Literal["share", "items", "fill"]
    field: str | None = None
    limit: float
    actual: float
    message: str


class Hold(Contract):
    """The hold of a run that has only added offers so far.

    `known` is the number of the source's offers when the run began; the run would modify `modifies` and remove
    `removes` of them. `decision` is null until an operator decides.
    """

    reasons: tuple[HoldReason, ...]
    known: int
    modifies: int
    removes: int
    decision: Literal["released", "discarded"] | None = None
    decided_at: Timestamp | None = None
    decided_by: str | None = None


class CrawlRun(Contract):
    """A crawl in the API. `searchable`: it has ended and the index contains all of its changes.

    `missed` is the number of the source's offers that a complete run did not see, `removed` the number that it removed
    because enough runs in a row missed them.
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

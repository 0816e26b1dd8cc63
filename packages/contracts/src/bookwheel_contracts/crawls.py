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


class PageOutcome(StrEnum):
    """The result of a page that a run fetched. Every page gets exactly one.

    `unreadable`: the page has book data that could not be read. `other`: it has none. `failed`: it was not fetched.
    """

    BOOK = "book"
    LIST = "list"
    OTHER = "other"
    UNREADABLE = "unreadable"
    FAILED = "failed"


class FieldFault(Contract):
    """A field that could not be read. `text` is the text as found, shortened. `field` is `page` for a whole block."""

    field: str = Field(max_length=64)
    code: str = Field(max_length=64)
    text: str = Field(max_length=1000)


class RawItem(Contract):
    """The uncleaned content of one scraped page.

    `item_number` counts the items of a run from 1. Together with `run_id` it identifies the item in every delivery.
    `site` is None if the source declares the site of the run. Otherwise it is the host, with the port unless that is
    the default. The keys of `payload` are `RAW_FIELDS`. `fingerprint` is the SHA-256 of its canonical JSON.
    `faults` are the fields that the scraper could not read.
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
    faults: tuple[FieldFault, ...] = ()
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

    A run that exceeds `share` or `pages`, or is below `items` or `fill`, is held.
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
    pages: dict[PageOutcome, Share] = Field(default_factory=dict)
    """The maximum share of pages with an outcome, by outcome."""

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


class FetchedPage(Contract):
    """A page of a run. `reason` explains the outcome. `position` is the place of the unreadable data."""

    url: str = Field(max_length=4096)
    outcome: PageOutcome
    reason: str | None = Field(default=None, max_length=1000)
    position: str | None = Field(default=None, max_length=200)
    faults: tuple[FieldFault, ...] = ()


class RunPages(Contract):
    """Pages of a run in the order of their outcomes. `first_page` is the number of the first; a run counts from 1."""

    kind: Literal["pages"] = "pages"
    schema_version: int = SCHEMA_VERSION
    run_id: str
    source: str
    first_page: int = Field(ge=1)
    pages: tuple[FetchedPage, ...] = Field(min_length=1, max_length=1000)
    traceparent: str


class RunFinished(Contract):
    """`scraped` is the number of published items.

    `published_pages` is the number of pages in messages; None from scrapers that publish no pages.
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
    published_pages: int | None = Field(default=None, ge=0)
    start: RunStarted | None = None
    traceparent: str

    @model_validator(mode="after")
    def _check_start(self) -> Self:
        if self.start is not None and (self.start.run_id, self.start.source) != (self.run_id, self.source):
            raise ValueError("start: must have the same run_id and source")
        return self


StreamMessage = Annotated[RawItem | RunStarted | RunPages | RunFinished, Field(discriminator="kind")]
_stream_message: TypeAdapter[RawItem | RunStarted | RunPages | RunFinished] = TypeAdapter(StreamMessage)


def parse_stream_message(body: bytes) -> RawItem | RunStarted | RunPages | RunFinished:
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


class PageCounts(Contract):
    """The number of pages by outcome. After the end of the run, their sum is the run's `pages`."""

    book: int = 0
    list: int = 0
    other: int = 0
    unreadable: int = 0
    failed: int = 0


class HoldReason(Contract):
    """Why a run is held.

    `share`: the run would modify or remove too many of the source's offers. `items`: the run has too few items.
    `fill`: too few of its items have `field`. `pages`: too many of its pages have the outcome `field`. For `share`,
    `limit` and `actual` are numbers of offers. For `items` they are numbers of items. For `fill` and `pages` they are
    shares.
    """

    code: Literal["share", "items", "fill", "pages"]
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


class OfferExample(Contract):
    """An offer that a held run would add, change or remove. `fields` are the fields that would change.

    `before` and `after` are their values as text, by field. A value is null if it is missing.
    """

    key: str
    url: str
    title: str
    fields: tuple[str, ...] = ()
    before: dict[str, str | None] = Field(default_factory=dict)
    after: dict[str, str | None] = Field(default_factory=dict)


class HoldExamples(Contract):
    """Examples of what a held run would do, at most ten of each kind."""

    adds: tuple[OfferExample, ...] = ()
    changes: tuple[OfferExample, ...] = ()
    removes: tuple[OfferExample, ...] = ()


class CrawlRun(Contract):
    """A crawl in the API. `searchable`: the run has ended and the index contains all its changes.

    `missed` is the number of the source's offers that a complete run did not see. `removed` is the number of offers
    that it removed, because enough consecutive runs did not see them. `page_counts` has the outcomes of its `pages`;
    `errors` counts failed pages and cut chains of pages. `faults` is the number of fields that could not be read.
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
    page_counts: PageCounts = PageCounts()
    errors: int
    faults: int = 0
    searchable: bool

"""The shapes of the answers, for the API's description and for bodies that come in.

Lists are sent as bytes made from the index (see `answers`): tests hold them to these shapes.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from bookwheel_contracts import (
    CarriedChange,
    Change,
    CrawlRun,
    FieldError,
    Money,
    Observation,
    RunQualityReport,
    Verdict,
    Webhook,
    WebhookDelivery,
    WebhookEventType,
)
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_stores.records.runs.quarantine import QuarantineEntry, QuarantineState
from pydantic import AnyHttpUrl, Field

LONGEST_BODY = 100_000
Amount = Annotated[Decimal, Field(description="A decimal string.")]


class ListedOffer(Contract):
    source: str
    url: str
    price: Money | None
    stock: int | None
    in_stock: bool
    first_seen: Timestamp


class ListedBook(Contract):
    """A book in a list. `fields` narrows it, so every field is optional there."""

    id: str
    title: str
    authors: tuple[str, ...]
    isbn13: str | None
    category: str | None
    description: str | None
    language: str | None
    price: Money | None
    rating: float | None
    rating_count: int | None
    stock: int | None
    in_stock: bool
    image_url: str | None
    offers: tuple[ListedOffer, ...]
    first_seen: Timestamp
    last_changed: Timestamp
    revision: int


class DetailedOffer(ListedOffer):
    last_seen: Timestamp


class DetailedBook(ListedBook):
    offers: tuple[DetailedOffer, ...]
    last_seen: Timestamp


class Total(Contract):
    value: int
    relation: Literal["eq"]


class FacetValue(Contract):
    value: str
    count: int
    selected: bool


class HistogramBucket(Contract):
    from_: Annotated[float | Amount, Field(alias="from")]
    to: float | Amount
    count: int


class SelectedRange(Contract):
    from_: Annotated[float | Amount | None, Field(alias="from")]
    to: float | Amount | None


class NumericFacetAnswer(Contract):
    """Money as decimal strings. `currency` is that of most books: other currencies are not in the figures."""

    count: int
    min: float | Amount | None
    max: float | Amount | None
    avg: float | Amount | None
    histogram: tuple[HistogramBucket, ...]
    selected: tuple[SelectedRange, ...]
    currency: str | None = None


class BookList(Contract):
    items: tuple[ListedBook, ...]
    total: Total
    facets: dict[str, tuple[FacetValue, ...] | NumericFacetAnswer]
    next: str | None


class PriceSummary(Contract):
    currency: str
    count: int
    min: Amount
    max: Amount
    avg: Amount
    median: Amount


class PriceRange(BookList):
    prices: tuple[PriceSummary, ...]


class RatingSummary(Contract):
    count: int
    average: float | None


class CategoryCount(Contract):
    name: str
    count: int


class CategoryList(Contract):
    """`complete`: whether these are all; else they are those with most books."""

    items: tuple[CategoryCount, ...]
    complete: bool


class ValueCount(Contract):
    value: str
    count: int


class Overview(Contract):
    books: int
    in_stock: int
    categories: int
    authors: int
    sources: tuple[ValueCount, ...]
    rating: RatingSummary
    prices: tuple[PriceSummary, ...]


class CategoryStatistics(Contract):
    category: str
    books: int
    in_stock: int
    rating: RatingSummary
    prices: tuple[PriceSummary, ...]


class CategoryStatisticsList(Contract):
    """`complete`: whether these are all; else they are those with most books."""

    items: tuple[CategoryStatistics, ...]
    complete: bool


class TrendPoint(Contract):
    """`count` offers had a price in `currency` at the end of the interval that begins at `time`."""

    time: Timestamp
    currency: str
    count: int
    min: Amount
    max: Amount
    avg: Amount


class PriceTrend(Contract):
    interval: Literal["day", "week", "month"]
    points: tuple[TrendPoint, ...]


class SuggestionAnswer(Contract):
    text: str
    type: Literal["title", "author", "category"]
    count: int


class SuggestionList(Contract):
    items: tuple[SuggestionAnswer, ...]


class ChangeList(Contract):
    """`next` is always there, to ask for what is `after` it; `more` tells whether there is something already."""

    items: tuple[CarriedChange, ...]
    next: str
    more: bool


class BookHistory(Contract):
    """Newest first, both. A removed book keeps its history."""

    book_id: str
    observations: tuple[Observation, ...]
    changes: tuple[Change, ...]
    next: str | None


class DeclaredSource(Contract):
    """A source as the scraper declares it."""

    name: str
    title: str
    spider: str
    start_urls: tuple[str, ...]
    schedule: str | None
    requires_start_url: bool


class Source(DeclaredSource):
    """`books` is how many books it has offers of."""

    books: int


class SourceList(Contract):
    items: tuple[Source, ...]


class CrawlOrder(Contract):
    source: Annotated[str, Field(min_length=1, max_length=100, description="The name of a declared source.")]
    start_url: Annotated[
        AnyHttpUrl | None, Field(max_length=2000, description="Where to start instead of the source's own pages.")
    ] = None


class CrawlList(Contract):
    items: tuple[CrawlRun, ...]


class WebhookOrder(Contract):
    """Which webhook somebody wants."""

    url: str = Field(
        min_length=1, max_length=2000, description="https, of the internet, port 443, 80 or one from 1024 on."
    )
    events: tuple[Literal[WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED], ...] = Field(
        default=(WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED), min_length=1, max_length=10
    )
    filters: tuple[Annotated[str, Field(max_length=300)], ...] = Field(
        default=(), max_length=100, description="Of changes: `name:value` as `filter` of `GET /changes`."
    )
    after: int | None = Field(
        default=None, ge=0, le=1 << 62, description="The sequence behind which changes are told; by default from now."
    )


class CreatedWebhook(Webhook):
    """`secret` signs the deliveries. It is shown once."""

    secret: str


class WebhookList(Contract):
    items: tuple[Webhook, ...]


class DeliveryList(Contract):
    items: tuple[WebhookDelivery, ...]
    next: str | None


class WebhookStart(Contract):
    """How a disabled webhook goes on. `deliver`: with what was given up, then with what changed since. `skip_failed`:
    without that one. `skip_all`: with what changes from now on."""

    missed: Literal["deliver", "skip_failed", "skip_all"] = "deliver"


class QualityList(Contract):
    items: tuple[RunQualityReport, ...]


class QuarantinedEntry(Contract):
    """Something that could not be taken in. `state` is `open`, `queued` for a replay, or `replayed`, then with its
    `verdict`. `body` is the stream's entry as it came, null in lists; `truncated` if there is more of it. A book that
    the index refused has the code `refused_by_index`, and is `replayed` once the index holds it.
    """

    id: int
    run_id: str | None
    source: str | None
    url: str | None
    code: str
    reasons: tuple[FieldError, ...]
    state: QuarantineState
    quarantined_at: Timestamp
    replayed_at: Timestamp | None
    verdict: Verdict | None
    body: str | None = None
    truncated: bool = False

    @classmethod
    def of(cls, found: QuarantineEntry, *, with_body: bool) -> Self:
        return cls(
            id=found.number,
            run_id=found.run_id,
            source=found.source,
            url=found.url,
            code=found.code,
            reasons=found.reasons,
            state=found.state,
            quarantined_at=found.quarantined_at,
            replayed_at=found.replayed_at,
            verdict=found.verdict,
            body=found.body[:LONGEST_BODY] if with_body else None,
            truncated=with_body and len(found.body) > LONGEST_BODY,
        )


class QuarantineList(Contract):
    """`total` is how many match; `next` what to give as `after` for the next page."""

    items: tuple[QuarantinedEntry, ...]
    total: int
    next: int | None


class ReplayOrder(Contract):
    """What to replay: all that is open and matches. Nothing given is everything."""

    source: Annotated[str | None, Field(max_length=100)] = None
    run: Annotated[str | None, Field(max_length=512)] = None
    code: Annotated[str | None, Field(max_length=64)] = None


class ReplayQueued(Contract):
    queued: int

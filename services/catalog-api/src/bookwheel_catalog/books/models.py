"""API models of books. Lists are sent as bytes from the index: tests validate them against these models."""

from typing import Annotated, Literal

from bookwheel_contracts import Change, Money, Observation
from bookwheel_contracts.model import Contract, Timestamp
from pydantic import Field

from bookwheel_catalog.search.models import Amount, PriceSummary


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


class PriceRange(BookList):
    prices: tuple[PriceSummary, ...]


class BookHistory(Contract):
    """Newest first, both. A removed book keeps its history."""

    book_id: str
    observations: tuple[Observation, ...]
    changes: tuple[Change, ...]
    next: str | None


LISTED_FIELDS = tuple(ListedBook.model_fields)
DETAILED_FIELDS = tuple(DetailedBook.model_fields)

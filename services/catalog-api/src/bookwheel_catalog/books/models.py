"""API models of books. Lists are sent as bytes from the index: tests validate them against these models."""

from typing import Annotated, Literal

from bookwheel_contracts import BookContent, Change, Observation, OfferContent
from bookwheel_contracts.model import Contract, Timestamp
from pydantic import ConfigDict, Field

from bookwheel_catalog.search.models import Amount, PriceSummary


class ListedOffer(OfferContent):
    pass


class ListedBook(BookContent):
    """A book in a list, with all fields unless the parameter `fields` selects some."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    offers: tuple[ListedOffer, ...] = ()


class DetailedOffer(ListedOffer):
    last_seen: Timestamp


class DetailedBook(ListedBook):
    offers: tuple[DetailedOffer, ...] = ()
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

"""API models of books. Lists are rendered from the index without these models; tests check that they match."""

from typing import Annotated, Literal

from bookwheel_contracts import BookContent, Change, Observation, OfferContent
from bookwheel_contracts.model import Contract, Timestamp
from pydantic import ConfigDict, Field

from bookwheel_catalog.search.rendering import Amount, PriceSummary


class ListedBook(BookContent):
    """A book in a list. The parameter `fields` selects its fields; by default it has all fields."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


class DetailedOffer(OfferContent):
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


class NumericFacetValues(Contract):
    """A numeric facet. Prices are decimal strings, and only those in `currency` count."""

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
    facets: dict[str, tuple[FacetValue, ...] | NumericFacetValues]
    next: str | None


class BookListWithPrices(BookList):
    prices: tuple[PriceSummary, ...]


class BookHistory(Contract):
    """The observations and changes of a book, newest first. A removed book keeps its history."""

    book_id: str
    observations: tuple[Observation, ...]
    changes: tuple[Change, ...]
    next: str | None


LISTED_FIELDS = tuple(ListedBook.model_fields)
DETAILED_FIELDS = tuple(DetailedBook.model_fields)

"""Queries and results of the search index for all engines."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

Bound = Decimal | float | int | None


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds; None means unbounded."""

    low: Bound
    high: Bound


@dataclass(frozen=True, slots=True)
class Filter:
    """Matches books with any of the `values` (terms, booleans) or `ranges` (numbers, money, times) in one field."""

    name: str
    values: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """Folded words. A single word also matches with typos unless `exact`; several words match as a phrase.

    `field` is a text field, see `fields.TEXT_FIELDS`; None means any of them.
    """

    words: tuple[str, ...]
    field: str | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class TextQuery:
    """All `required` clauses must match, and no `excluded` clause. `words` are the required words in order."""

    required: tuple[Clause, ...] = ()
    excluded: tuple[Clause, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SearchCriteria:
    """Matches the books that match the text query and every filter. If `text` is None, all books match it."""

    text: TextQuery | None = None
    filters: tuple[Filter, ...] = ()

    def without(self, name: str) -> "SearchCriteria":
        """Returns the criteria without the filters of one field."""
        return SearchCriteria(self.text, tuple(item for item in self.filters if item.name != name))

    def within(self, name: str, values: Sequence[str]) -> "SearchCriteria":
        """Returns the criteria with one of these values required in a single-valued field."""
        return SearchCriteria(self.text, (*self.without(name).filters, Filter(name, values=tuple(values))))

    def filters_by(self, name: str) -> bool:
        return any(item.name == name for item in self.filters)


class Sort(StrEnum):
    """Ties are ordered by book number. Books without the value come last."""

    RELEVANCE = "relevance"
    TITLE = "title"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    RATING = "rating"
    RATING_DESCENDING = "-rating"
    STOCK = "stock"
    STOCK_DESCENDING = "-stock"
    NEWEST = "newest"
    LAST_CHANGED = "last_changed"
    LAST_CHANGED_DESCENDING = "-last_changed"


TITLE_PARTS = 4
"""The number of sort values of the title order. Other orders have one sort value."""


@dataclass(frozen=True, slots=True)
class Position:
    """The position after a book in a sort order: its sort value and its number. Values ascend in every order.

    `rank` is the number of books before the first book with this value. It is a hint that may be outdated.
    """

    value: tuple[float, ...]
    number: int
    rank: int


@dataclass(frozen=True, slots=True)
class SearchQuery:
    criteria: SearchCriteria
    sort: Sort
    limit: int
    after: Position | None = None
    facets: tuple[str, ...] = ()


@dataclass(slots=True)
class TermCount:
    value: str
    count: int
    selected: bool = False


@dataclass(frozen=True, slots=True)
class TermFacet:
    """The most frequent values and all selected ones."""

    values: tuple[TermCount, ...]


@dataclass(slots=True)
class Bucket:
    """A bucket of a histogram, which includes `low` and excludes `high`."""

    low: Decimal | float
    high: Decimal | float
    count: int


@dataclass(frozen=True, slots=True)
class NumericFacet:
    """Statistics of the books that have the field. For money, only books in `currency` count."""

    count: int
    low: Decimal | float | None
    high: Decimal | float | None
    average: Decimal | float | None
    histogram: tuple[Bucket, ...]
    selected: tuple[Range, ...] = ()
    currency: str | None = None


Facet = TermFacet | NumericFacet


@dataclass(frozen=True, slots=True)
class SearchPage:
    """`items` are the JSON of `BookContent`s; `total` is exact."""

    items: list[bytes]
    total: int
    facets: dict[str, Facet] = field(default_factory=dict)
    next: Position | None = None


@dataclass(frozen=True, slots=True)
class MoneyStatistics:
    currency: str
    count: int
    low: Decimal
    high: Decimal
    average: Decimal
    median: Decimal


@dataclass(frozen=True, slots=True)
class Statistics:
    """Statistics of the matching books, or of the matching books in `category`."""

    books: int
    in_stock: int
    rated: int
    rating_average: float | None
    prices: tuple[MoneyStatistics, ...]
    category: str | None = None


class SuggestionKind(StrEnum):
    TITLE = "title"
    AUTHOR = "author"
    CATEGORY = "category"


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A completion and the number of books that have it."""

    kind: SuggestionKind
    text: str
    count: int

"""What can be asked of the search index, in values that know no engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum


class FieldKind(StrEnum):
    TERM = "term"  # exact strings
    MONEY = "money"  # decimal amounts
    NUMBER = "number"
    TIME = "time"  # milliseconds since 1970, UTC
    BOOLEAN = "boolean"


FIELDS: Mapping[str, FieldKind] = {
    "category": FieldKind.TERM,
    "author": FieldKind.TERM,
    "source": FieldKind.TERM,
    "language": FieldKind.TERM,
    "currency": FieldKind.TERM,
    "isbn13": FieldKind.TERM,
    "price": FieldKind.MONEY,
    "rating": FieldKind.NUMBER,
    "rating_count": FieldKind.NUMBER,
    "stock": FieldKind.NUMBER,
    "in_stock": FieldKind.BOOLEAN,
    "first_seen": FieldKind.TIME,
    "last_changed": FieldKind.TIME,
}
"""Everything that can be filtered by."""
FACETS = (
    "category",
    "author",
    "source",
    "language",
    "currency",
    "in_stock",
    "price",
    "rating",
    "rating_count",
    "stock",
)
FULL_TEXT = ("title", "author", "category", "description")

Bound = Decimal | float | int | None


@dataclass(frozen=True, slots=True)
class Range:
    """Both ends belong to the range; None is no limit on that side."""

    low: Bound
    high: Bound


@dataclass(frozen=True, slots=True)
class Filter:
    """One field, any of whose `values` (terms, booleans) or `ranges` (numbers, money, times) may match."""

    name: str
    values: tuple[str, ...] = ()
    ranges: tuple[Range, ...] = ()


@dataclass(frozen=True, slots=True)
class Clause:
    """Folded words: one word matches with typos where it is long enough, several words match as a phrase.

    `name` is one of `FULL_TEXT`, or None for the best of them.
    """

    words: tuple[str, ...]
    name: str | None = None
    exact: bool = False


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Every clause of `required` must match, none of `excluded` may. `whole` is all required words in their order."""

    required: tuple[Clause, ...] = ()
    excluded: tuple[Clause, ...] = ()
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which books: under a text query (None: any) and all filters."""

    text: TextQuery | None = None
    filters: tuple[Filter, ...] = ()

    def without(self, name: str) -> "Selection":
        """The same selection but for the filters of one field."""
        return Selection(self.text, tuple(each for each in self.filters if each.name != name))

    def within(self, name: str, values: Sequence[str]) -> "Selection":
        """Of the selected books those with one of these values, in a field that has one value at most.

        `values` are of selected books.
        """
        return Selection(self.text, (*self.without(name).filters, Filter(name, values=tuple(values))))

    def filters_by(self, name: str) -> bool:
        return any(each.name == name for each in self.filters)


class Sort(StrEnum):
    """Every order is total: what ties is ordered by the book's number. Books without the value come last."""

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
"""A title's place in its order is four numbers; in every other order a book's place is one."""


@dataclass(frozen=True, slots=True)
class Position:
    """The place right after a book in an order: its sort value, which ascends, and its number.

    `rank` is how many books stand before the first one of this value. It saves searching for the place, and may be out
    of date.
    """

    value: tuple[float, ...]
    number: int
    rank: int


@dataclass(frozen=True, slots=True)
class SearchQuery:
    selection: Selection
    sort: Sort
    limit: int
    after: Position | None = None
    facets: tuple[str, ...] = ()


@dataclass(slots=True)  # not frozen, like buckets: they are made by the dozen, and frozen ones take twice as long
class TermCount:
    value: str
    count: int
    selected: bool = False


@dataclass(frozen=True, slots=True)
class TermFacet:
    """The most frequent values, and always the selected ones."""

    values: tuple[TermCount, ...]


@dataclass(slots=True)
class Bucket:
    """`low` belongs to the bucket, `high` to the next one."""

    low: Decimal | float
    high: Decimal | float
    count: int


@dataclass(frozen=True, slots=True)
class NumericFacet:
    """Statistics of the books that have the field. `currency` is set for money: other currencies are not in it."""

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
    """`items` are the ready JSON of books (a `BookContent`); `total` is exact."""

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
    """Facts about a selection. `category` is set where the selection was grouped by it."""

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
    """A completion; `count` is how many books have it."""

    kind: SuggestionKind
    text: str
    count: int

"""Declare the fields of the search index for both engines.

`INDEX_FIELDS` are for filters, facets and sorting. `TEXT_FIELDS` are for full-text search, with the weights in
`scoring.FIELD_WEIGHTS`. After a change of the fields, increment both index names, so that a new index is built.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any

from bookwheel_stores.search.queries import Bound, Range, Sort

TANTIVY_INDEX = "books-v4"
ELASTICSEARCH_INDEX = "books-v2"

Content = Mapping[str, Any]
"""The parsed JSON of a `BookContent`."""
_MAX_UNITS = (1 << 62) - 1


class FieldKind(StrEnum):
    TERM = "term"  # exact strings
    BOOLEAN = "boolean"
    MONEY = "money"  # decimal amounts
    NUMBER = "number"
    TIME = "time"  # milliseconds since 1970, UTC


@lru_cache(maxsize=65536)
def _price_units(amount: str) -> int:
    return int(Decimal(amount) * _PRICE_SCALE)


@lru_cache(maxsize=4096)
def _rating_units(rating: float) -> int:
    return int((Decimal(str(rating)) * _RATING_SCALE).to_integral_value(ROUND_HALF_EVEN))


def _milliseconds(timestamp: str) -> int:
    """Parse RFC 3339."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class IndexField:
    """A field for filters, facets and sorting.

    `read` returns the value of a book, or None if the book lacks it. Terms are a string or a list of strings. Numbers
    are integers in units of `1 / scale`, so that bounds, sums and buckets are exact. `sort_precision` is the precision
    of sorting in units: smaller differences tie. None means that books cannot be sorted by the field.
    """

    kind: FieldKind
    read: Callable[[Content], Any]
    scale: int = 1
    is_facet: bool = True
    sort_precision: int | None = None


_PRICE_SCALE, _RATING_SCALE = 10_000, 1_000_000

INDEX_FIELDS: Mapping[str, IndexField] = {
    "category": IndexField(FieldKind.TERM, lambda content: content["category"]),
    "author": IndexField(FieldKind.TERM, lambda content: list(dict.fromkeys(content["authors"])) or None),
    "source": IndexField(
        FieldKind.TERM, lambda content: list(dict.fromkeys(offer["source"] for offer in content["offers"])) or None
    ),
    "language": IndexField(FieldKind.TERM, lambda content: content["language"]),
    "currency": IndexField(FieldKind.TERM, lambda content: content["price"] and content["price"]["currency"]),
    "isbn13": IndexField(FieldKind.TERM, lambda content: content["isbn13"], is_facet=False),
    "in_stock": IndexField(FieldKind.BOOLEAN, lambda content: content["in_stock"]),
    "price": IndexField(
        FieldKind.MONEY,
        lambda content: content["price"] and _price_units(content["price"]["amount"]),
        scale=_PRICE_SCALE,
        sort_precision=100,  # a cent
    ),
    "rating": IndexField(
        FieldKind.NUMBER,
        lambda content: None if content["rating"] is None else _rating_units(content["rating"]),
        scale=_RATING_SCALE,
        sort_precision=1,
    ),
    "rating_count": IndexField(FieldKind.NUMBER, lambda content: content["rating_count"]),
    "stock": IndexField(FieldKind.NUMBER, lambda content: content["stock"], sort_precision=1),
    "first_seen": IndexField(
        FieldKind.TIME, lambda content: _milliseconds(content["first_seen"]), is_facet=False, sort_precision=100
    ),
    "last_changed": IndexField(
        FieldKind.TIME, lambda content: _milliseconds(content["last_changed"]), is_facet=False, sort_precision=100
    ),
}
"""All fields for filters, by public name."""
FIELD_KINDS: Mapping[str, FieldKind] = {name: field.kind for name, field in INDEX_FIELDS.items()}
FACETS = tuple(name for name, field in INDEX_FIELDS.items() if field.is_facet)
TERM_FIELDS = tuple(name for name, kind in FIELD_KINDS.items() if kind is FieldKind.TERM)
NUMERIC_SCALES = {
    name: field.scale for name, field in INDEX_FIELDS.items() if field.kind not in {FieldKind.TERM, FieldKind.BOOLEAN}
}
"""The numeric fields and their index units per public unit."""


@dataclass(frozen=True, slots=True)
class TextField:
    """A field for words. `read` returns its texts. `index_name` is the index field of the folded words.

    With `allows_typos`, words also match with typos in a search over all fields. With `is_suggested`, its texts are
    completions, and it needs a `SuggestionKind`.
    """

    index_name: str
    read: Callable[[Content], Sequence[str]]
    allows_typos: bool = True
    is_suggested: bool = True


TEXT_FIELDS: Mapping[str, TextField] = {
    "title": TextField("title", lambda content: [content["title"]]),
    "subtitle": TextField(
        "subtitle", lambda content: _optional(content.get("subtitle")), allows_typos=False, is_suggested=False
    ),
    "author": TextField("authors", lambda content: content["authors"]),
    "category": TextField("category_text", lambda content: _optional(content["category"])),
    # almost every description has a word that differs from a short word by one typo
    "description": TextField(
        "description", lambda content: _optional(content["description"]), allows_typos=False, is_suggested=False
    ),
}
"""All fields for words, by public name."""
TITLE_START = "^"
"""A token before the first word of a title, for phrase queries at its start. Folded text never contains it."""


def _optional(value: str | None) -> list[str]:
    return [] if value is None else [value]


SORT_FIELDS: Mapping[Sort, tuple[str, bool]] = {
    Sort.PRICE: ("price", False),
    Sort.PRICE_DESCENDING: ("price", True),
    Sort.RATING: ("rating", False),
    Sort.RATING_DESCENDING: ("rating", True),
    Sort.STOCK: ("stock", False),
    Sort.STOCK_DESCENDING: ("stock", True),
    Sort.NEWEST: ("first_seen", True),
    Sort.LAST_CHANGED: ("last_changed", False),
    Sort.LAST_CHANGED_DESCENDING: ("last_changed", True),
    Sort.RELEVANCE: ("first_seen", True),  # without a text query
}
"""The field of each sort order, and whether it descends. Titles are sorted by `documents.title_keys`."""
SORT_PRECISIONS = {
    name: field.sort_precision for name, field in INDEX_FIELDS.items() if field.sort_precision is not None
}

NUMBER_BITS = 26
MAX_NUMBER = (1 << NUMBER_BITS) - 1
"""A sort key is a 64-bit integer: the sort value in the upper 38 bits, the book's number in the lower 26."""
MAX_SORT_VALUE = (1 << (64 - NUMBER_BITS)) - 2
"""Greater values tie, for example prices above 2.7 billion."""
NO_SORT_VALUE = MAX_SORT_VALUE + 1


def to_terms(name: str, content: Content) -> Sequence[str]:
    """Return the values of a term field."""
    value = INDEX_FIELDS[name].read(content)
    return [] if value is None else [value] if isinstance(value, str) else value


def to_sort_value(units: int, precision: int) -> int:
    """Return the value for sorting. Values that differ by less than `precision` index units are equal."""
    return min(max(units // precision, 0), MAX_SORT_VALUE)


def range_units(name: str, bounds: Range) -> tuple[int | None, int | None]:
    """Return the lowest and the highest index units in the range; None means unbounded.

    Ratings are indexed to the nearest unit, so their bounds are rounded in the same way.
    """
    is_rounded = name == "rating"
    return (
        _bound_units(name, bounds.low, rounding=ROUND_HALF_EVEN if is_rounded else ROUND_CEILING),
        _bound_units(name, bounds.high, rounding=ROUND_HALF_EVEN if is_rounded else ROUND_FLOOR),
    )


def _bound_units(name: str, bound: Bound, *, rounding: str) -> int | None:
    if bound is None:
        return None
    exact = (bound if isinstance(bound, Decimal) else Decimal(str(bound))) * NUMERIC_SCALES[name]
    return min(max(int(exact.to_integral_value(rounding)), -_MAX_UNITS), _MAX_UNITS)

"""Pages of a total order by `search_after`: the sort, and a cursor's place in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookwheel_stores.search.elasticsearch.mapping import MOST, SIGN, TITLE_ORDER
from bookwheel_stores.search.queries import Position, SearchQuery, Sort
from bookwheel_stores.search.tantivy.schema import NUMBER_BITS, NUMBER_MASK

_NO_VALUE = MOST + 1
_ORDERS = {
    Sort.PRICE: ("by_price", False),
    Sort.PRICE_DESCENDING: ("by_price", True),
    Sort.RATING: ("by_rating", False),
    Sort.RATING_DESCENDING: ("by_rating", True),
    Sort.STOCK: ("by_stock", False),
    Sort.STOCK_DESCENDING: ("by_stock", True),
    Sort.NEWEST: ("by_first_seen", True),
    Sort.RELEVANCE: ("by_first_seen", True),  # without a text
    Sort.LAST_CHANGED: ("by_last_changed", False),
    Sort.LAST_CHANGED_DESCENDING: ("by_last_changed", True),
}
_MOST_SCORE = 1e30  # scores are 32-bit floats
_GREATEST, _LEAST = (1 << 63) - 1, -(1 << 63)  # what Elasticsearch gives and takes for a value that is missing


@dataclass(frozen=True, slots=True)
class Order:
    """How a query's pages are sorted. What ties is sorted by the book's number."""

    sort: Sort
    is_scored: bool

    @staticmethod
    def of(query: SearchQuery) -> "Order":
        return Order(query.sort, query.sort is Sort.RELEVANCE and query.selection.text is not None)

    def clauses(self) -> list[dict[str, Any]]:
        return [*self._values(), {"number": {"order": "asc"}}]

    def _values(self) -> list[dict[str, Any]]:
        if self.is_scored:
            return [{"_score": {"order": "desc"}}]
        if self.sort is Sort.TITLE:
            return [{name: {"order": "asc"}} for name in TITLE_ORDER]
        field, descends = _ORDERS[self.sort]
        return [{field: {"order": "desc" if descends else "asc", "missing": "_last"}}]

    def after(self, position: Position) -> list[float]:
        """What `search_after` takes: the place behind the book at this position."""
        return [*self._sort_values(position.value), min(position.number, _GREATEST)]

    def _sort_values(self, value: Sequence[float]) -> list[float]:
        if self.is_scored:
            return [min(max(-value[0], -_MOST_SCORE), _MOST_SCORE)]
        if self.sort is Sort.TITLE:
            return [int(part) - SIGN for part in value]
        descends, place = _ORDERS[self.sort][1], int(value[0]) >> NUMBER_BITS
        if place >= _NO_VALUE:
            return [_LEAST if descends else _GREATEST]
        return [MOST - place if descends else place]

    def position(self, sort_values: Sequence[Any]) -> Position:
        """The inverse: where a hit is. Its values ascend in every order."""
        *values, number = sort_values
        if self.is_scored:
            return Position((-float(values[0]),), int(number), 0)
        if self.sort is Sort.TITLE:
            return Position(tuple(int(part) + SIGN for part in values), int(number), 0)
        value, descends = int(values[0]), _ORDERS[self.sort][1]
        place = _NO_VALUE if value in {_GREATEST, _LEAST} else MOST - value if descends else value
        # the embedded engine's keys: a list can be walked on after the engine was changed
        return Position((place << NUMBER_BITS | min(int(number), NUMBER_MASK),), int(number), 0)

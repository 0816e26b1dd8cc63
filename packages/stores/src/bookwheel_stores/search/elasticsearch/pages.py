"""Paginate with `search_after`: sort clauses and positions of cursors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bookwheel_stores.search.elasticsearch.mapping import TITLE_KEY_FIELDS, TITLE_KEY_OFFSET, sort_field
from bookwheel_stores.search.fields import MAX_NUMBER, MAX_SORT_VALUE, NO_SORT_VALUE, NUMBER_BITS, SORT_FIELDS
from bookwheel_stores.search.queries import Position, SearchQuery, Sort

_MAX_SCORE = 1e30  # scores are 32-bit floats
_MAX_LONG, _MIN_LONG = (1 << 63) - 1, -(1 << 63)  # Elasticsearch's sort value of a missing field


@dataclass(frozen=True, slots=True)
class Order:
    """The sort order of a query. Ties are ordered by book number."""

    sort: Sort
    is_scored: bool

    @staticmethod
    def of(query: SearchQuery) -> "Order":
        return Order(query.sort, query.sort is Sort.RELEVANCE and query.criteria.text is not None)

    def clauses(self) -> list[dict[str, Any]]:
        return [*self._value_clauses(), {"number": {"order": "asc"}}]

    def _value_clauses(self) -> list[dict[str, Any]]:
        if self.is_scored:
            return [{"_score": {"order": "desc"}}]
        if self.sort is Sort.TITLE:
            return [{name: {"order": "asc"}} for name in TITLE_KEY_FIELDS]
        name, is_descending = SORT_FIELDS[self.sort]
        return [{sort_field(name): {"order": "desc" if is_descending else "asc", "missing": "_last"}}]

    def search_after(self, position: Position) -> list[float]:
        return [*self._sort_values(position.value), min(position.number, _MAX_LONG)]

    def _sort_values(self, value: Sequence[float]) -> list[float]:
        if self.is_scored:
            return [min(max(-value[0], -_MAX_SCORE), _MAX_SCORE)]
        if self.sort is Sort.TITLE:
            return [int(part) - TITLE_KEY_OFFSET for part in value]
        is_descending, sort_value = SORT_FIELDS[self.sort][1], int(value[0]) >> NUMBER_BITS
        if sort_value >= NO_SORT_VALUE:
            return [_MIN_LONG if is_descending else _MAX_LONG]
        return [MAX_SORT_VALUE - sort_value if is_descending else sort_value]

    def position(self, sort_values: Sequence[Any]) -> Position:
        """Return the position of a hit, the inverse of `search_after`. Values of positions ascend in every order."""
        *values, number = sort_values
        if self.is_scored:
            return Position((-float(values[0]),), int(number), 0)
        if self.sort is Sort.TITLE:
            return Position(tuple(int(part) + TITLE_KEY_OFFSET for part in values), int(number), 0)
        value, is_descending = int(values[0]), SORT_FIELDS[self.sort][1]
        if value in {_MAX_LONG, _MIN_LONG}:
            value = NO_SORT_VALUE
        elif is_descending:
            value = MAX_SORT_VALUE - value
        # the sort keys of Tantivy, so that cursors stay valid after a change of the engine
        return Position((value << NUMBER_BITS | min(int(number), MAX_NUMBER),), int(number), 0)

"""Pages and facets of texts that few books match, from values that are kept until the next commit.

Whoever narrows a search by filters, turns its pages or looks at its facets asks for one text again and again. A pass of
Tantivy over it costs 40 to 80 µs and its aggregations' answers as much again, however few books match; a list of some
dozen values is counted in 5.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson
import tantivy

from bookwheel_stores.search.number_units import SCALES, range_units
from bookwheel_stores.search.queries import (
    FIELDS,
    Facet,
    FieldKind,
    Filter,
    NumericFacet,
    Position,
    Range,
    SearchQuery,
    TermCount,
)
from bookwheel_stores.search.tantivy.facets import average, bucket_width, histogram, public, term_facet
from bookwheel_stores.search.tantivy.queries import numbers_of
from bookwheel_stores.search.tantivy.walk import Place, Walk

MOST_MATCHES = 256
_UNBOUNDED = 1 << 62

Column = Sequence[Any]
"""Of each match in their order: a number or truth value or None, or a tuple of terms."""
Rows = Sequence[int]
"""Places in the order of the matches, ascending."""


class Matches:
    """All books that match a text, by relevance. `body` gives a book's JSON."""

    def __init__(
        self, searcher: tantivy.Searcher, hits: Iterable[tuple[Any, Any]], body: Callable[[Place], bytes]
    ) -> None:
        scored = list(hits)
        numbers = numbers_of(searcher, [address for _, address in scored])
        rows = sorted(
            (-float(score), number, place)
            for place, ((score, _), number) in enumerate(zip(scored, numbers, strict=True))
        )
        self._searcher = searcher
        self._body = body
        self._order = [(value, number) for value, number, _ in rows]
        self._values = [value for value, _ in self._order]
        self._addresses = [scored[place][1] for _, _, place in rows]
        self._places = [
            Place(number, address) for (_, number), address in zip(self._order, self._addresses, strict=True)
        ]
        self._columns: dict[str, Column] = {}
        self._contents: list[Any] = []
        self._currencies: list[str] | None = None

    def selected(self, filters: Sequence[Filter]) -> Rows:
        """The places, in the order of relevance, of those that all filters let pass."""
        rows: Rows = range(len(self._order))
        for each in filters:
            rows = _passing(each, self._column(each.name), rows)
        return rows

    def page(self, query: SearchQuery, rows: Rows) -> Walk:
        """As `Walker.page`, by relevance; of the selected rows."""
        start = 0
        if query.after is not None:
            start = bisect_left(rows, bisect_right(self._order, (query.after.value[0], query.after.number)))
        chosen = rows[start : start + query.limit]
        end = None
        if start + query.limit < len(rows):
            value, number = self._order[chosen[-1]]
            end = Position((value,), number, bisect_left(rows, bisect_left(self._values, value)))
        return Walk([self._places[row] for row in chosen], len(rows), end)

    def facets(self, filters: Sequence[Filter], names: Sequence[str], rows: Rows) -> dict[str, Facet]:
        """As `FacetCounter.facets`; `rows` are those that the filters select."""
        own = {each.name: each for each in reversed(filters)}
        facets: dict[str, Facet] = {}
        for name in names:
            counted = rows
            if name in own:
                counted = self.selected([each for each in filters if each.name != name])
            wanted = own.get(name) or Filter(name)
            facets[name] = self._numeric(wanted, counted) if name in SCALES else self._terms(wanted, counted)
        return facets

    def _column(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            column = self._read(name) if FIELDS[name] is FieldKind.TERM else self._fast(name)
            self._columns[name] = column
        return column

    def _fast(self, name: str) -> Column:
        return self._searcher.fast_field_values(name, self._addresses)

    def _read(self, name: str) -> Column:
        if not self._contents:
            self._contents = [orjson.loads(self._body(place)) for place in self._places]
        return [_terms_of(name, content) for content in self._contents]

    def _terms(self, wanted: Filter, rows: Rows) -> Facet:
        column = self._column(wanted.name)
        if FIELDS[wanted.name] is FieldKind.BOOLEAN:
            counts = Counter(["true" if column[row] else "false" for row in rows])
        else:
            counts = Counter(chain.from_iterable([column[row] for row in rows]))
        ordered = sorted(sorted(counts.items()), key=itemgetter(1), reverse=True)
        return term_facet([TermCount(value, count) for value, count in ordered], wanted.values)

    def _numeric(self, wanted: Filter, rows: Rows) -> Facet:
        name = wanted.name
        currency = None
        if FIELDS[name] is FieldKind.MONEY:
            currency, rows = self._in_one_currency(rows)
        column = self._column(name)
        values = [value for row in rows if (value := column[row]) is not None]
        if not values:
            return NumericFacet(0, None, None, None, (), wanted.ranges)
        low, high = min(values), max(values)
        width = bucket_width(name, low, high)
        buckets = histogram(name, low, high, width, Counter([value // width for value in values]))
        mean = average(name, {"sum": sum(values), "count": len(values)})
        return NumericFacet(len(values), public(name, low), public(name, high), mean, buckets, wanted.ranges, currency)

    def _in_one_currency(self, rows: Rows) -> tuple[str | None, Rows]:
        """The currency that most of the rows have, and those that have it; all of them where there is only one."""
        currencies = self._column("currency")
        if self._currencies is None:
            self._currencies = sorted(set(chain.from_iterable(currencies)))
        if len(self._currencies) < 2:
            return next(iter(self._currencies), None), rows
        counted = Counter(chain.from_iterable([currencies[row] for row in rows]))
        currency = min(counted, key=lambda each: (-counted[each], each), default=None)
        return currency, [row for row in rows if currency in currencies[row]]


def _passing(wanted: Filter, column: Column, rows: Rows) -> Rows:
    kind = FIELDS[wanted.name]
    if kind is FieldKind.TERM:
        terms = frozenset(wanted.values)
        return [row for row in rows if not terms.isdisjoint(column[row])]
    if kind is FieldKind.BOOLEAN:
        truths = {value == "true" for value in wanted.values}
        return [row for row in rows if column[row] in truths]
    bounds = [_bounds(wanted.name, each) for each in wanted.ranges]
    if len(bounds) == 1:
        low, high = bounds[0]
        return [row for row in rows if (value := column[row]) is not None and low <= value <= high]
    return [
        row for row in rows if (value := column[row]) is not None and any(low <= value <= high for low, high in bounds)
    ]


def _bounds(name: str, wanted: Range) -> tuple[int, int]:
    low, high = range_units(name, wanted)
    return -_UNBOUNDED if low is None else low, _UNBOUNDED if high is None else high


def _terms_of(name: str, content: Any) -> tuple[str, ...]:
    """What the index has under a term field of a book (see `tantivy_documents`)."""
    if name == "author":
        return tuple(dict.fromkeys(content["authors"]))
    if name == "source":
        return tuple(dict.fromkeys(offer["source"] for offer in content["offers"]))
    if name == "currency":
        return () if content["price"] is None else (content["price"]["currency"],)
    return () if content[name] is None else (content[name],)

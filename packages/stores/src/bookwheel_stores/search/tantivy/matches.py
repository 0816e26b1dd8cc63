"""Compute pages and facets of text queries with few matches in memory.

Filters, further pages and facets repeat the same text query. Tantivy takes 40 to 80 µs per query, and the same time to
read the aggregations, even for few matches. Counting several dozen values in memory takes 5 µs.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson
import tantivy

from bookwheel_stores.search.facets import bucket_width, empty_facet, filter_of, numeric_facet, term_facet
from bookwheel_stores.search.fields import FIELD_KINDS, NUMERIC_SCALES, FieldKind, range_units, to_terms
from bookwheel_stores.search.queries import Facet, Filter, Position, Range, SearchQuery, TermCount
from bookwheel_stores.search.tantivy.pages import BookAddress, SortedPage
from bookwheel_stores.search.tantivy.queries import numbers_of

MAX_MATCHES = 256
_UNBOUNDED = 1 << 62

Column = Sequence[Any]
"""One value per match: a number, a boolean, None, or a sequence of terms."""
Rows = Sequence[int]
"""Indices into the matches, ascending."""


class TextMatches:
    """All books that match a text, by relevance.

    `hits` are pairs of score and address, in any order. `read_body` returns the JSON of a book.
    """

    def __init__(
        self,
        searcher: tantivy.Searcher,
        hits: Iterable[tuple[float, tantivy.DocAddress]],
        read_body: Callable[[BookAddress], bytes],
    ) -> None:
        scored_hits = list(hits)
        numbers = numbers_of(searcher, [address for _, address in scored_hits])
        ordered_hits = sorted(
            (-float(score), number, index)
            for index, ((score, _), number) in enumerate(zip(scored_hits, numbers, strict=True))
        )
        self._searcher = searcher
        self._read_body = read_body
        self._sort_keys = [(negated_score, number) for negated_score, number, _ in ordered_hits]
        self._negated_scores = [negated_score for negated_score, _ in self._sort_keys]
        self._addresses = [scored_hits[index][1] for _, _, index in ordered_hits]
        self._books = [
            BookAddress(number, address) for (_, number), address in zip(self._sort_keys, self._addresses, strict=True)
        ]
        self._columns: dict[str, Column] = {}
        self._contents: list[Any] = []
        self._currencies: list[str] | None = None

    def select(self, filters: Sequence[Filter]) -> Rows:
        """Return the rows that match all filters, by relevance."""
        rows: Rows = range(len(self._sort_keys))
        for item in filters:
            rows = _filter_rows(item, self._column(item.name), rows)
        return rows

    def page(self, query: SearchQuery, rows: Rows) -> SortedPage:
        """Return a page of `rows` by relevance, like `Paginator.page`."""
        start = 0
        if query.after is not None:
            start = bisect_left(rows, bisect_right(self._sort_keys, (query.after.value[0], query.after.number)))
        page_rows = rows[start : start + query.limit]
        next_position = None
        if start + query.limit < len(rows):
            negated_score, number = self._sort_keys[page_rows[-1]]
            rank = bisect_left(rows, bisect_left(self._negated_scores, negated_score))
            next_position = Position((negated_score,), number, rank)
        return SortedPage([self._books[row] for row in page_rows], len(rows), next_position)

    def facets(self, filters: Sequence[Filter], names: Sequence[str], rows: Rows) -> dict[str, Facet]:
        """Count facets, like `FacetCounter.count`. `rows` are the rows that match the filters."""
        filtered_names = {item.name for item in filters}
        facets: dict[str, Facet] = {}
        for name in names:
            counted = (
                rows if name not in filtered_names else self.select([item for item in filters if item.name != name])
            )
            facet_filter = filter_of(filters, name)
            facets[name] = (
                self._numeric(facet_filter, counted) if name in NUMERIC_SCALES else self._terms(facet_filter, counted)
            )
        return facets

    def _column(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            if FIELD_KINDS[name] is FieldKind.TERM:
                column = self._read_terms(name)
            else:
                column = self._searcher.fast_field_values(name, self._addresses)
            self._columns[name] = column
        return column

    def _read_terms(self, name: str) -> Column:
        if not self._contents:
            self._contents = [orjson.loads(self._read_body(book)) for book in self._books]
        return [to_terms(name, content) for content in self._contents]

    def _terms(self, facet_filter: Filter, rows: Rows) -> Facet:
        column = self._column(facet_filter.name)
        if FIELD_KINDS[facet_filter.name] is FieldKind.BOOLEAN:
            counts = Counter(["true" if column[row] else "false" for row in rows])
        else:
            counts = Counter(chain.from_iterable([column[row] for row in rows]))
        ordered = sorted(sorted(counts.items()), key=itemgetter(1), reverse=True)
        return term_facet([TermCount(value, count) for value, count in ordered], facet_filter.values)

    def _numeric(self, facet_filter: Filter, rows: Rows) -> Facet:
        name = facet_filter.name
        currency = None
        if FIELD_KINDS[name] is FieldKind.MONEY:
            currency, rows = self._in_main_currency(rows)
        column = self._column(name)
        values = [value for row in rows if (value := column[row]) is not None]
        if not values:
            return empty_facet(facet_filter.ranges)
        stats = {"min": min(values), "max": max(values), "sum": sum(values), "count": len(values)}
        width = bucket_width(name, stats["min"], stats["max"])
        return numeric_facet(name, stats, width, Counter([value // width for value in values]), facet_filter, currency)

    def _in_main_currency(self, rows: Rows) -> tuple[str | None, Rows]:
        """Return the most frequent currency and its rows; all rows if the matches have only one currency."""
        currencies = self._column("currency")
        if self._currencies is None:
            self._currencies = sorted(set(chain.from_iterable(currencies)))
        if len(self._currencies) < 2:
            return next(iter(self._currencies), None), rows
        counts = Counter(chain.from_iterable([currencies[row] for row in rows]))
        currency = min(counts, key=lambda item: (-counts[item], item), default=None)
        return currency, [row for row in rows if currency in currencies[row]]


def _filter_rows(item: Filter, column: Column, rows: Rows) -> Rows:
    kind = FIELD_KINDS[item.name]
    if kind is FieldKind.TERM:
        terms = frozenset(item.values)
        return [row for row in rows if not terms.isdisjoint(column[row])]
    if kind is FieldKind.BOOLEAN:
        booleans = {value == "true" for value in item.values}
        return [row for row in rows if column[row] in booleans]
    bounds = [_bounds(item.name, limits) for limits in item.ranges]
    if len(bounds) == 1:
        low, high = bounds[0]
        return [row for row in rows if (value := column[row]) is not None and low <= value <= high]
    return [
        row for row in rows if (value := column[row]) is not None and any(low <= value <= high for low, high in bounds)
    ]


def _bounds(name: str, limits: Range) -> tuple[int, int]:
    low, high = range_units(name, limits)
    return -_UNBOUNDED if low is None else low, _UNBOUNDED if high is None else high

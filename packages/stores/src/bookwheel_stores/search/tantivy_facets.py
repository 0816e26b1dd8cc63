"""Facets and statistics, counted by Tantivy's aggregations over exactly the books that match."""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from tantivy import Occur, Order, Query

from bookwheel_stores.search.queries import (
    FIELDS,
    Bucket,
    Facet,
    FieldKind,
    Filter,
    MoneyStatistics,
    NumericFacet,
    Selection,
    Statistics,
    TermCount,
    TermFacet,
)
from bookwheel_stores.search.tantivy_matches import Matches
from bookwheel_stores.search.tantivy_queries import count_of
from bookwheel_stores.search.tantivy_schema import NUMBER_BITS, SCALES, SORT_FIELDS

MAX_TERMS = 60_000  # Tantivy refuses answers of more than 65,000 buckets
_COUNTED_TERMS = 1_000  # enough that ties at the end of what is shown are ordered by value
_SHOWN_TERMS = 100
_BUCKETS = 10
_LEAST_WIDTHS = {"price": 100, "rating": 10}  # a cent, a tenth; one of anything else

Request = dict[str, Any]
Answer = Mapping[str, Any]


def terms_request(name: str, *, size: int) -> Request:
    # a segment's own cut must not drop what the others count: without it, counts are estimates
    return {"terms": {"field": name, "size": size, "segment_size": MAX_TERMS}}


class FacetCounter:
    """Counts a page's facets. The filters of a field do not narrow the facet of the same field."""

    def __init__(self, matches: Matches, selection: Selection) -> None:
        self._matches = matches
        self._selection = selection

    def facets(self, names: Sequence[str]) -> dict[str, Facet]:
        """Facets that share a selection are counted in one pass."""
        passes: dict[Selection, list[str]] = {}
        for name in names:
            own = self._selection.without(name) if self._selection.filters_by(name) else self._selection
            passes.setdefault(own, []).append(name)
        counted: dict[str, Facet] = {}
        for selection, together in passes.items():
            query = self._matches.query(selection)
            answer = self._matches.searcher.aggregate(query, {name: _facet_request(name) for name in together})
            for name in together:
                counted[name] = (
                    self._numeric(query, name, answer[name]) if name in SCALES else self._terms(name, answer[name])
                )
        return {name: counted[name] for name in names}

    def _selected(self, name: str) -> Filter:
        return next((each for each in self._selection.filters if each.name == name), Filter(name))

    def _terms(self, name: str, answer: Answer) -> TermFacet:
        selected = self._selected(name).values
        counts = ordered_counts(name, answer)
        shown = [TermCount(each.value, each.count, each.value in selected) for each in counts]
        found = {each.value for each in counts}
        absent = [TermCount(value, 0, selected=True) for value in dict.fromkeys(selected) if value not in found]
        kept = shown[:_SHOWN_TERMS] + [each for each in shown[_SHOWN_TERMS:] if each.selected]
        return TermFacet((*kept, *absent))

    def _numeric(self, query: Query, name: str, answer: Answer) -> NumericFacet:
        selected = self._selected(name).ranges
        currency = None
        if FIELDS[name] is FieldKind.MONEY:
            by_currency = sorted(answer["buckets"], key=lambda each: (-each["doc_count"], each["key"]))
            if not by_currency:
                return NumericFacet(0, None, None, None, (), selected)
            currency = str(by_currency[0]["key"])
            answer = by_currency[0]["amounts"]
            query = _both(query, self._matches.compiler.term("currency", currency))
        count = int(answer["count"])
        if not count:
            return NumericFacet(0, None, None, None, (), selected)
        low, high = int(answer["min"]), int(answer["max"])
        width = bucket_width(name, low, high)
        request = {"buckets": {"histogram": {"field": name, "interval": width}}}
        histogram = self._matches.searcher.aggregate(query, request)
        buckets = tuple(
            Bucket(public(name, int(each["key"])), public(name, int(each["key"]) + width), int(each["doc_count"]))
            for each in histogram["buckets"]["buckets"]
        )
        average = _average(name, answer)
        return NumericFacet(count, public(name, low), public(name, high), average, buckets, selected, currency)


def _facet_request(name: str) -> Request:
    if FIELDS[name] is FieldKind.MONEY:
        return terms_request("currency", size=_COUNTED_TERMS) | {"aggs": {"amounts": {"stats": {"field": name}}}}
    if name in SCALES:
        return {"stats": {"field": name}}
    return terms_request(name, size=_COUNTED_TERMS)


def ordered_counts(name: str, answer: Answer) -> list[TermCount]:
    """Most frequent first, then by value."""
    value = "key_as_string" if FIELDS[name] is FieldKind.BOOLEAN else "key"
    counts = [TermCount(str(each[value]), int(each["doc_count"])) for each in answer["buckets"]]
    return sorted(counts, key=lambda each: (-each.count, each.value))


def bucket_width(name: str, low: int, high: int) -> int:
    """In index units: 1, 2 or 5 times a power of ten of the least sensible width, for at most eleven buckets."""
    least = max((high - low) / _BUCKETS, 1)
    whole = max(SCALES[name] // _LEAST_WIDTHS.get(name, 1), 1)
    magnitude: int = whole * 10 ** max(math.floor(math.log10(least / whole)), 0)
    return next((step * magnitude for step in (1, 2, 5) if step * magnitude >= least), 10 * magnitude)


def public(name: str, units: int) -> Decimal | float:
    """From index units to the public value."""
    if FIELDS[name] is FieldKind.MONEY:
        return money(Decimal(units) / SCALES[name])
    return units if SCALES[name] == 1 else units / SCALES[name]


def money(amount: Decimal) -> Decimal:
    """With two decimal places, or four where it needs them."""
    cents = amount.quantize(Decimal("0.01"))
    return cents if cents == amount else amount.quantize(Decimal("0.0001"))


def _average(name: str, answer: Answer) -> Decimal | float:
    mean = Decimal(int(answer["sum"])) / int(answer["count"]) / SCALES[name]
    return mean.quantize(Decimal("0.01")) if FIELDS[name] is FieldKind.MONEY else round(float(mean), 6)


def _both(one: Query, other: Query) -> Query:
    return Query.boolean_query([(Occur.Must, one), (Occur.Must, other)])

"""Facets, counted by Tantivy's aggregations over exactly the books that match."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

import tantivy
from tantivy import Occur, Query

from bookwheel_stores.search.number_units import SCALES
from bookwheel_stores.search.queries import (
    FACETS,
    FIELDS,
    Bucket,
    Facet,
    FieldKind,
    Filter,
    NumericFacet,
    Selection,
    TermCount,
    TermFacet,
)
from bookwheel_stores.search.tantivy.queries import QueryCompiler, count_of

MAX_TERMS = 60_000  # Tantivy refuses answers of more than 65,000 buckets
COUNTED_TERMS = 1_000  # enough that ties at the end of what is shown are ordered by value
_SHOWN_TERMS = 100
_BUCKETS = 10
_FINE_BUCKETS = 200
_CENT = Decimal("0.01")
_LEAST_PARTS = {"price": 100, "rating": 10}  # a cent, a tenth; one of anything else

Request = dict[str, Any]
Answer = Mapping[str, Any]


def terms_request(name: str, *, size: int) -> Request:
    # a segment's own cut must not drop what the others count: without it, counts are estimates
    return {"terms": {"field": name, "size": size, "segment_size": MAX_TERMS}}


@dataclass(frozen=True, slots=True)
class Spread:
    """What a commit's facets are asked for by: its currencies, and for each numeric facet a fine width of buckets.

    With those widths, in index units, statistics and histogram come from one pass: buckets are asked for this fine, and
    joined once the lowest and highest value of the selection are known.
    """

    currencies: tuple[str, ...]
    widths: Mapping[str, int]


def spread_of(searcher: tantivy.Searcher) -> Spread:
    names = [name for name in FACETS if name in SCALES]
    requests = {name: {"stats": {"field": name}} for name in names}
    requests |= {"currency": terms_request("currency", size=COUNTED_TERMS)}
    answer = searcher.aggregate(Query.all_query(), requests)
    widths = {}
    for name in names:
        reach = int(answer[name]["max"] - answer[name]["min"]) if answer[name]["count"] else 0
        width = least_width(name)
        while reach / width > _FINE_BUCKETS:
            width *= 10
        widths[name] = width
    return Spread(tuple(str(each["key"]) for each in answer["currency"]["buckets"]), widths)


class FacetCounter:
    """Counts a page's facets. The filters of a field do not narrow the facet of the same field."""

    def __init__(
        self, searcher: tantivy.Searcher, compiler: QueryCompiler, spread: Spread, selection: Selection
    ) -> None:
        self._searcher = searcher
        self._compiler = compiler
        self._spread = spread
        self._selection = selection

    def facets(self, names: Sequence[str]) -> dict[str, Facet]:
        """In the order of `names`. Facets that share a selection are counted in one pass."""
        passes: dict[Selection, list[str]] = {}
        for name in names:
            own = self._selection.without(name) if self._selection.filters_by(name) else self._selection
            passes.setdefault(own, []).append(name)
        counted: dict[str, Facet] = {}
        for selection, together in passes.items():
            query = self._compiler.selection(selection)
            requests: Request = {}
            for name in together:
                requests |= self._requests(name)
            answer = self._searcher.aggregate(query, requests)
            for name in together:
                counted[name] = (
                    self._numeric(query, name, answer) if name in SCALES else self._terms(query, name, answer)
                )
        return {name: counted[name] for name in names}

    def _requests(self, name: str) -> Request:
        if name not in SCALES:
            return {name: terms_request(name, size=COUNTED_TERMS)}
        figures: Request = {
            name: {"stats": {"field": name}},
            f"{name}_buckets": {
                "histogram": {"field": name, "interval": self._spread.widths[name], "min_doc_count": 1}
            },
        }
        # aggregations inside others take Tantivy three times as long: most catalogs have one currency
        if FIELDS[name] is FieldKind.MONEY and len(self._spread.currencies) > 1:
            return {name: terms_request("currency", size=COUNTED_TERMS) | {"aggs": figures}}
        return figures

    def _selected(self, name: str) -> Filter:
        return next((each for each in self._selection.filters if each.name == name), Filter(name))

    def _terms(self, query: Query, name: str, answer: Answer) -> TermFacet:
        counts, selected = ordered_counts(name, answer[name]), self._selected(name).values
        if selected and len(counts) == COUNTED_TERMS:  # which need not be among the most frequent
            counted = {each.value for each in counts}
            for value in [each for each in selected if each not in counted]:
                found = count_of(self._searcher.search(both(query, self._compiler.term(name, value)), 1))
                counts += [TermCount(value, found)] if found else []
        return term_facet(counts, selected)

    def _numeric(self, query: Query, name: str, answer: Answer) -> NumericFacet:
        selected = self._selected(name).ranges
        currency = self._spread.currencies[0] if FIELDS[name] is FieldKind.MONEY and self._spread.currencies else None
        if currency is not None and len(self._spread.currencies) > 1:
            by_currency = sorted(answer[name]["buckets"], key=lambda each: (-each["doc_count"], each["key"]))
            if not by_currency:
                return NumericFacet(0, None, None, None, (), selected)
            answer = by_currency[0]
            currency = str(answer["key"])
            query = both(query, self._compiler.term("currency", currency))
        figures = answer[name]
        count = int(figures["count"])
        if not count:
            return NumericFacet(0, None, None, None, (), selected)
        low, high = int(figures["min"]), int(figures["max"])
        width = bucket_width(name, low, high)
        fine = answer[f"{name}_buckets"]["buckets"]
        if width % self._spread.widths[name]:  # the selection is of a small part of the whole catalog's range
            request = {"histogram": {"histogram": {"field": name, "interval": width, "min_doc_count": 1}}}
            fine = self._searcher.aggregate(query, request)["histogram"]["buckets"]
        counts = Counter[int]()
        for bucket in fine:
            counts[int(bucket["key"]) // width] += int(bucket["doc_count"])
        buckets = histogram(name, low, high, width, counts)
        mean = average(name, figures)
        return NumericFacet(count, public(name, low), public(name, high), mean, buckets, selected, currency)


def term_facet(counts: Sequence[TermCount], selected: Sequence[str]) -> TermFacet:
    """Of counts in their order: the first ones, and all that are selected."""
    shown = list(counts[:_SHOWN_TERMS])
    if selected:
        marked = [TermCount(each.value, each.count, each.value in selected) for each in counts]
        found = {each.value for each in counts}
        absent = [TermCount(value, 0, selected=True) for value in dict.fromkeys(selected) if value not in found]
        shown = [*marked[:_SHOWN_TERMS], *(each for each in marked[_SHOWN_TERMS:] if each.selected), *absent]
    return TermFacet(tuple(shown))


def histogram(name: str, low: int, high: int, width: int, counts: Mapping[int, int]) -> tuple[Bucket, ...]:
    """Every bucket from that of the lowest to that of the highest value. `counts` is by value // width."""
    first, last = low // width, high // width
    return tuple([Bucket(start, end, counts.get(place, 0)) for place, start, end in _edges(name, width, first, last)])


@lru_cache(maxsize=1024)  # the same buckets come again and again
def _edges(name: str, width: int, first: int, last: int) -> Sequence[tuple[int, Decimal | float, Decimal | float]]:
    """Of each bucket its place and where it starts and ends."""
    return [(place, public(name, place * width), public(name, (place + 1) * width)) for place in range(first, last + 1)]


def ordered_counts(name: str, answer: Answer) -> list[TermCount]:
    """Most frequent first, then by value."""
    value = "key_as_string" if FIELDS[name] is FieldKind.BOOLEAN else "key"
    counts = [TermCount(str(each[value]), int(each["doc_count"])) for each in answer["buckets"]]
    return sorted(counts, key=lambda each: (-each.count, each.value))


def least_width(name: str) -> int:
    return max(SCALES[name] // _LEAST_PARTS.get(name, 1), 1)


def bucket_width(name: str, low: int, high: int) -> int:
    """In index units: 1, 2 or 5 times a power of ten of the least sensible width, for at most eleven buckets."""
    least = max((high - low) / _BUCKETS, 1)
    whole = least_width(name)
    magnitude: int = whole * 10 ** max(math.floor(math.log10(least / whole)), 0)
    return next((step * magnitude for step in (1, 2, 5) if step * magnitude >= least), 10 * magnitude)


@lru_cache(maxsize=8192)
def public(name: str, units: int) -> Decimal | float:
    """From index units to the public value."""
    if FIELDS[name] is FieldKind.MONEY:
        return money(Decimal(units) / SCALES[name])
    return units if SCALES[name] == 1 else units / SCALES[name]


def money(amount: Decimal) -> Decimal:
    """With two decimal places, or four where it needs them."""
    cents = amount.quantize(_CENT)
    return cents if cents == amount else amount.quantize(Decimal("0.0001"))


def average(name: str, answer: Answer) -> Decimal | float:
    mean = Decimal(int(answer["sum"])) / int(answer["count"]) / SCALES[name]
    return mean.quantize(_CENT) if FIELDS[name] is FieldKind.MONEY else round(float(mean), 6)


def both(one: Query, other: Query) -> Query:
    return Query.boolean_query([(Occur.Must, one), (Occur.Must, other)])

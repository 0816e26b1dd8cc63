"""Facets by Elasticsearch's aggregations: what is asked for, and what the answers mean. Pure.

A field's own filters do not narrow its facet: filters of fields whose facet is wanted are left out of the query, come
after it (`post_filter`), and are put into the aggregations of all other facets.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bookwheel_stores.search.elasticsearch.queries import Query, filter_query
from bookwheel_stores.search.number_units import SCALES
from bookwheel_stores.search.queries import (
    FIELDS,
    Bucket,
    Facet,
    FieldKind,
    Filter,
    NumericFacet,
    Selection,
    TermFacet,
)
from bookwheel_stores.search.tantivy.facets import (
    COUNTED_TERMS,
    average,
    bucket_width,
    ordered_counts,
    public,
    term_facet,
)

Answer = Mapping[str, Any]


class FacetPlan:
    """The facets of one selection. `wide` selects what any of them counts, `narrowing` what the page shows of it."""

    def __init__(self, selection: Selection, names: Sequence[str]) -> None:
        self._names = names
        self._own = [each for each in selection.filters if each.name in names]
        self.wide = Selection(selection.text, tuple(each for each in selection.filters if each.name not in names))

    @property
    def narrowing(self) -> Query | None:
        """For `post_filter`."""
        return {"bool": {"filter": [filter_query(each) for each in self._own]}} if self._own else None

    def aggregations(self) -> dict[str, Any]:
        return {name: self._narrowed(name, self._figures(name)) for name in self._names}

    def histograms(self, answers: Answer) -> dict[str, Any]:
        """A second request, once the lowest and highest values are known: the histograms, and again the figures."""
        requests: dict[str, Any] = {}
        for name in self._names:
            found = self._found(name, answers) if name in SCALES else None
            if found is None:
                continue
            figures, currency = found
            interval = bucket_width(name, int(figures["min"]), int(figures["max"]))
            wanted: dict[str, Any] = {
                "figures": {"stats": {"field": name}},
                "histogram": {"histogram": {"field": name, "interval": interval, "min_doc_count": 1}},
            }
            more = [] if currency is None else [{"term": {"currency": currency}}]
            requests[name] = self._narrowed(name, wanted, *more)
        return requests

    def facets(self, answers: Answer, histograms: Answer) -> dict[str, Facet]:
        """In the order of the names that were asked for."""
        facets: dict[str, Facet] = {}
        for name in self._names:
            if name in SCALES:
                facets[name] = self._numeric(name, answers, histograms)
            else:
                facets[name] = self._terms(name, answers[name])
        return facets

    def _narrowed(self, name: str, figures: dict[str, Any], *more: Query) -> dict[str, Any]:
        others = [filter_query(each) for each in self._own if each.name != name]
        return {"filter": {"bool": {"filter": [*others, *more]}}, "aggs": figures}

    def _figures(self, name: str) -> dict[str, Any]:
        if name in SCALES:
            figures: dict[str, Any] = {"figures": {"stats": {"field": name}}}
            if FIELDS[name] is FieldKind.MONEY:
                return {"currencies": {"terms": {"field": "currency", "size": COUNTED_TERMS}, "aggs": figures}}
            return figures
        figures = {"values": {"terms": {"field": name, "size": COUNTED_TERMS}}}
        selected = self._selected(name).values
        if selected and FIELDS[name] is FieldKind.TERM:  # which need not be among the most frequent
            figures["selected"] = {"terms": {"field": name, "size": len(selected), "include": list(selected)}}
        return figures

    def _selected(self, name: str) -> Filter:
        return next((each for each in self._own if each.name == name), Filter(name))

    def _terms(self, name: str, answer: Answer) -> TermFacet:
        counts = ordered_counts(name, answer["values"])
        if "selected" in answer:
            counted = {each.value for each in counts}
            counts += [each for each in ordered_counts(name, answer["selected"]) if each.value not in counted]
        return term_facet(counts, self._selected(name).values)

    def _found(self, name: str, answers: Answer) -> tuple[Answer, str | None] | None:
        """The figures of those books that the facet is of, and their currency; None where there are none."""
        answer, currency = answers[name], None
        if FIELDS[name] is FieldKind.MONEY:
            by_currency = sorted(
                answer["currencies"]["buckets"], key=lambda each: (-int(each["doc_count"]), str(each["key"]))
            )
            if not by_currency:
                return None
            answer, currency = by_currency[0], str(by_currency[0]["key"])
        return (answer["figures"], currency) if answer["figures"]["count"] else None

    def _numeric(self, name: str, answers: Answer, histograms: Answer) -> NumericFacet:
        selected = self._selected(name).ranges
        found = self._found(name, answers)
        figures = histograms[name]["figures"] if name in histograms else {"count": 0}
        if found is None or not figures["count"]:
            return NumericFacet(0, None, None, None, (), selected)
        asked, currency = found
        width = bucket_width(name, int(asked["min"]), int(asked["max"]))
        low, high = int(figures["min"]), int(figures["max"])
        counts = Counter(
            {int(each["key"]) // width: int(each["doc_count"]) for each in histograms[name]["histogram"]["buckets"]}
        )
        buckets = tuple(
            Bucket(public(name, place * width), public(name, (place + 1) * width), counts[place])
            for place in range(low // width, high // width + 1)
        )
        count, mean = int(figures["count"]), average(name, figures)
        return NumericFacet(count, public(name, low), public(name, high), mean, buckets, selected, currency)

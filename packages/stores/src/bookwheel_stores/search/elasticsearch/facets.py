"""Compute facets with aggregations of Elasticsearch. Pure.

The filters of a field do not narrow its own facet. Filters of fields with a facet are therefore in `post_filter` and in
the aggregations of all other facets, but not in the query.
"""

from collections.abc import Sequence
from typing import Any

from bookwheel_stores.search.elasticsearch.queries import Query, compile_filter
from bookwheel_stores.search.facets import (
    COUNTED_TERMS,
    Aggregation,
    bucket_width,
    empty_facet,
    filter_of,
    histogram_counts,
    main_currency,
    numeric_facet,
    ordered_counts,
    term_facet,
)
from bookwheel_stores.search.fields import FIELD_KINDS, NUMERIC_SCALES, FieldKind
from bookwheel_stores.search.queries import Facet, NumericFacet, SearchCriteria, TermFacet


class FacetPlan:
    """The facets of one search.

    `criteria` are the criteria of the query: without the filters of fields with a facet, so that the query matches all
    books that a facet counts. `post_filter` narrows the matches to the books of the page.
    """

    def __init__(self, criteria: SearchCriteria, names: Sequence[str]) -> None:
        self._names = names
        self._filters = [item for item in criteria.filters if item.name in names]
        self.criteria = SearchCriteria(
            criteria.text, tuple(item for item in criteria.filters if item.name not in names)
        )

    @property
    def post_filter(self) -> Query | None:
        return {"bool": {"filter": [compile_filter(item) for item in self._filters]}} if self._filters else None

    def aggregations(self) -> dict[str, Any]:
        return {name: self._narrow(name, self._aggregations_of(name)) for name in self._names}

    def histogram_aggregations(self, response: Aggregation) -> dict[str, Any]:
        """Return the second request. Its bucket widths depend on the range of values in the first response."""
        aggregations_by_name: dict[str, Any] = {}
        for name in self._names:
            main_stats = self._main_stats(name, response) if name in NUMERIC_SCALES else None
            if main_stats is None:
                continue
            stats, currency = main_stats
            width = bucket_width(name, int(stats["min"]), int(stats["max"]))
            aggregations: dict[str, Any] = {
                "stats": {"stats": {"field": name}},
                "histogram": {"histogram": {"field": name, "interval": width, "min_doc_count": 1}},
            }
            in_currency = [] if currency is None else [{"term": {"currency": currency}}]
            aggregations_by_name[name] = self._narrow(name, aggregations, *in_currency)
        return aggregations_by_name

    def facets(self, response: Aggregation, histograms: Aggregation) -> dict[str, Facet]:
        """Compute the facets from both responses, in the order of the names."""
        return {
            name: self._numeric(name, response, histograms)
            if name in NUMERIC_SCALES
            else self._terms(name, response[name])
            for name in self._names
        }

    def _narrow(self, name: str, aggregations: dict[str, Any], *queries: Query) -> dict[str, Any]:
        others = [compile_filter(item) for item in self._filters if item.name != name]
        return {"filter": {"bool": {"filter": [*others, *queries]}}, "aggs": aggregations}

    def _aggregations_of(self, name: str) -> dict[str, Any]:
        if name in NUMERIC_SCALES:
            stats: dict[str, Any] = {"stats": {"stats": {"field": name}}}
            if FIELD_KINDS[name] is FieldKind.MONEY:
                return {"currencies": {"terms": {"field": "currency", "size": COUNTED_TERMS}, "aggs": stats}}
            return stats
        aggregations = {"values": {"terms": {"field": name, "size": COUNTED_TERMS}}}
        selected_values = filter_of(self._filters, name).values
        if selected_values and FIELD_KINDS[name] is FieldKind.TERM:  # selected values may be less frequent
            aggregations["selected"] = {
                "terms": {"field": name, "size": len(selected_values), "include": list(selected_values)}
            }
        return aggregations

    def _terms(self, name: str, response: Aggregation) -> TermFacet:
        counts = ordered_counts(name, response["values"])
        if "selected" in response:
            counted = {item.value for item in counts}
            counts += [item for item in ordered_counts(name, response["selected"]) if item.value not in counted]
        return term_facet(counts, filter_of(self._filters, name).values)

    def _main_stats(self, name: str, response: Aggregation) -> tuple[Aggregation, str | None] | None:
        """Return the statistics of a numeric facet and, for money, the most frequent currency; None without books."""
        aggregation, currency = response[name], None
        if FIELD_KINDS[name] is FieldKind.MONEY:
            bucket = main_currency(aggregation["currencies"]["buckets"])
            if bucket is None:
                return None
            aggregation, currency = bucket, str(bucket["key"])
        return (aggregation["stats"], currency) if aggregation["stats"]["count"] else None

    def _numeric(self, name: str, response: Aggregation, histograms: Aggregation) -> NumericFacet:
        facet_filter = filter_of(self._filters, name)
        main_stats = self._main_stats(name, response)
        stats = histograms[name]["stats"] if name in histograms else {"count": 0}
        if main_stats is None or not stats["count"]:
            return empty_facet(facet_filter.ranges)
        width = bucket_width(name, int(main_stats[0]["min"]), int(main_stats[0]["max"]))
        buckets = histograms[name]["histogram"]["buckets"]
        return numeric_facet(name, stats, width, histogram_counts(buckets, width), facet_filter, main_stats[1])

"""Count facets with aggregations of Tantivy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tantivy
from tantivy import Query

from bookwheel_stores.search.facets import (
    COUNTED_TERMS,
    MAX_TERMS,
    Aggregation,
    bucket_width,
    empty_facet,
    filter_of,
    histogram_counts,
    main_currency,
    min_width,
    numeric_facet,
    ordered_counts,
    term_facet,
)
from bookwheel_stores.search.fields import FACETS, FIELD_KINDS, NUMERIC_SCALES, FieldKind
from bookwheel_stores.search.queries import Facet, NumericFacet, SearchCriteria, TermCount, TermFacet
from bookwheel_stores.search.tantivy.queries import QueryCompiler, both, total_of

_FINE_BUCKETS = 200

Request = dict[str, Any]


def terms_request(name: str, *, size: int) -> Request:
    # A smaller `segment_size` would omit values of some segments, and counts would be estimates.
    return {"terms": {"field": name, "size": size, "segment_size": MAX_TERMS}}


@dataclass(frozen=True, slots=True)
class FacetSettings:
    """The currencies of a commit, and a fine bucket width in index units for each numeric facet.

    With fine buckets, statistics and histogram need one pass. The buckets are merged after the lowest and highest
    values of the criteria are computed.
    """

    currencies: tuple[str, ...]
    widths: Mapping[str, int]


def read_facet_settings(searcher: tantivy.Searcher) -> FacetSettings:
    names = [name for name in FACETS if name in NUMERIC_SCALES]
    requests = {name: {"stats": {"field": name}} for name in names}
    requests |= {"currency": terms_request("currency", size=COUNTED_TERMS)}
    response = searcher.aggregate(Query.all_query(), requests)
    widths = {}
    for name in names:
        span = int(response[name]["max"] - response[name]["min"]) if response[name]["count"] else 0
        width = min_width(name)
        while span / width > _FINE_BUCKETS:
            width *= 10
        widths[name] = width
    return FacetSettings(tuple(str(bucket["key"]) for bucket in response["currency"]["buckets"]), widths)


class FacetCounter:
    """Counts the facets of a page. The filters of a field do not narrow its own facet."""

    def __init__(
        self, searcher: tantivy.Searcher, compiler: QueryCompiler, settings: FacetSettings, criteria: SearchCriteria
    ) -> None:
        self._searcher = searcher
        self._compiler = compiler
        self._settings = settings
        self._criteria = criteria

    def count(self, names: Sequence[str]) -> dict[str, Facet]:
        """Count facets in the order of `names`. Facets of the same criteria are counted in one pass."""
        names_by_criteria: dict[SearchCriteria, list[str]] = {}
        for name in names:
            counted_criteria = self._criteria.without(name) if self._criteria.filters_by(name) else self._criteria
            names_by_criteria.setdefault(counted_criteria, []).append(name)
        facets: dict[str, Facet] = {}
        for criteria, group_names in names_by_criteria.items():
            query = self._compiler.compile(criteria)
            requests: Request = {}
            for name in group_names:
                requests |= self._requests(name)
            response = self._searcher.aggregate(query, requests)
            for name in group_names:
                facets[name] = (
                    self._numeric(query, name, response)
                    if name in NUMERIC_SCALES
                    else self._terms(query, name, response)
                )
        return {name: facets[name] for name in names}

    def _requests(self, name: str) -> Request:
        if name not in NUMERIC_SCALES:
            return {name: terms_request(name, size=COUNTED_TERMS)}
        stats: Request = {
            name: {"stats": {"field": name}},
            f"{name}_buckets": {
                "histogram": {"field": name, "interval": self._settings.widths[name], "min_doc_count": 1}
            },
        }
        # Nested aggregations take three times as long in Tantivy, and most catalogs have one currency.
        if FIELD_KINDS[name] is FieldKind.MONEY and len(self._settings.currencies) > 1:
            return {name: terms_request("currency", size=COUNTED_TERMS) | {"aggs": stats}}
        return stats

    def _terms(self, query: Query, name: str, response: Aggregation) -> TermFacet:
        counts = ordered_counts(name, response[name])
        selected_values = filter_of(self._criteria.filters, name).values
        if selected_values and len(counts) == COUNTED_TERMS:  # selected values may be less frequent
            counted = {item.value for item in counts}
            for value in [value for value in selected_values if value not in counted]:
                count = total_of(self._searcher.search(both(query, self._compiler.term(name, value)), 1))
                counts += [TermCount(value, count)] if count else []
        return term_facet(counts, selected_values)

    def _numeric(self, query: Query, name: str, response: Aggregation) -> NumericFacet:
        facet_filter = filter_of(self._criteria.filters, name)
        is_money = FIELD_KINDS[name] is FieldKind.MONEY
        currency = self._settings.currencies[0] if is_money and self._settings.currencies else None
        if currency is not None and len(self._settings.currencies) > 1:
            bucket = main_currency(response[name]["buckets"])
            if bucket is None:
                return empty_facet(facet_filter.ranges)
            response, currency = bucket, str(bucket["key"])
            query = both(query, self._compiler.term("currency", currency))
        stats = response[name]
        if not int(stats["count"]):
            return empty_facet(facet_filter.ranges)
        width = bucket_width(name, int(stats["min"]), int(stats["max"]))
        buckets = response[f"{name}_buckets"]["buckets"]
        if width % self._settings.widths[name]:  # the matches span a small part of the catalog's range
            request = {"histogram": {"histogram": {"field": name, "interval": width, "min_doc_count": 1}}}
            buckets = self._searcher.aggregate(query, request)["histogram"]["buckets"]
        return numeric_facet(name, stats, width, histogram_counts(buckets, width), facet_filter, currency)

"""Search the Elasticsearch index behind the alias."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from elasticsearch import ApiError

from bookwheel_stores.search.elasticsearch import statistics
from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.client import connect, is_index_missing, is_transient, translate_errors
from bookwheel_stores.search.elasticsearch.facets import FacetPlan
from bookwheel_stores.search.elasticsearch.pages import Order
from bookwheel_stores.search.elasticsearch.queries import compile_criteria, compile_scored
from bookwheel_stores.search.elasticsearch.suggest import Completer
from bookwheel_stores.search.facets import MAX_TERMS, Aggregation, ordered_counts
from bookwheel_stores.search.queries import (
    Facet,
    SearchCriteria,
    SearchPage,
    SearchQuery,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)

Response = Mapping[str, Any]
_TIMEOUT_SECONDS = 5.0
_RETRY_SECONDS = 0.05
_NUMBERS_PER_PAGE = 10_000  # Elasticsearch's maximum
_MAX_EXACT_VALUES = 30_000


def page_request(query: SearchQuery, plan: FacetPlan, order: Order) -> dict[str, Any]:
    """Return the request for a page. It requests one more book, to detect whether another page exists."""
    request: dict[str, Any] = {
        "query": compile_scored(plan.criteria) if order.is_scored else compile_criteria(plan.criteria),
        "sort": order.clauses(),
        "size": query.limit + 1,
        "stored_fields": ["body"],
        "track_total_hits": True,
    }
    if plan.post_filter is not None:
        request["post_filter"] = plan.post_filter
    if query.after is not None:
        request["search_after"] = order.search_after(query.after)
    if query.facets:
        request["aggs"] = plan.aggregations()
    return request


class ElasticIndexReader:
    """See `IndexReader`. Each commit is immediately visible, so `reload` does nothing."""

    is_blocking = True

    def __init__(self, address: ElasticAddress) -> None:
        self._searcher = ElasticSearcher(address)

    def reload(self) -> None:
        pass

    def ping(self) -> None:
        self._searcher.ping()

    def search(self, query: SearchQuery) -> SearchPage:
        plan, order = FacetPlan(query.criteria, query.facets), Order.of(query)
        response = self._searcher.search(page_request(query, plan, order))
        hits = response["hits"]["hits"]
        items = [hit["fields"]["body"][0].encode() for hit in hits[: query.limit]]
        next_position = order.position(hits[query.limit - 1]["sort"]) if len(hits) > query.limit else None
        facets = self._facets(plan, response["aggregations"]) if query.facets else {}
        return SearchPage(items, int(response["hits"]["total"]["value"]), facets, next_position)

    def _facets(self, plan: FacetPlan, aggregations: Aggregation) -> dict[str, Facet]:
        histogram_aggregations = plan.histogram_aggregations(aggregations)
        histograms = self._aggregate(plan.criteria, histogram_aggregations) if histogram_aggregations else {}
        return plan.facets(aggregations, histograms)

    def count(self, criteria: SearchCriteria) -> int:
        request = {"query": compile_criteria(criteria), "size": 0, "track_total_hits": True}
        return int(self._searcher.search(request)["hits"]["total"]["value"])

    def list_numbers(self, criteria: SearchCriteria, *, limit: int) -> list[int]:
        numbers: list[int] = []
        request: dict[str, Any] = {
            "query": compile_criteria(criteria),
            "sort": [{"number": "asc"}],
            "stored_fields": "_none_",
            "track_total_hits": False,
        }
        while len(numbers) < limit:
            request["size"] = min(_NUMBERS_PER_PAGE, limit - len(numbers))
            hits = self._searcher.search(request)["hits"]["hits"]
            numbers += [int(hit["sort"][0]) for hit in hits]
            if len(hits) < request["size"]:
                break
            request["search_after"] = [numbers[-1]]
        return numbers

    def count_terms(self, criteria: SearchCriteria, name: str, *, limit: int) -> list[TermCount]:
        aggregations = {"terms": {"terms": {"field": name, "size": min(limit, MAX_TERMS)}}}
        return ordered_counts(name, self._aggregate(criteria, aggregations)["terms"])

    def count_distinct(self, criteria: SearchCriteria, name: str) -> int:
        aggregations = {"distinct": {"cardinality": {"field": name, "precision_threshold": 40_000}}}
        estimate = int(self._aggregate(criteria, aggregations)["distinct"]["value"])
        if estimate >= _MAX_EXACT_VALUES:
            return estimate
        return len(self.count_terms(criteria, name, limit=MAX_TERMS))

    def statistics(self, criteria: SearchCriteria) -> Statistics:
        return statistics.overall(lambda aggregations: self._aggregate(criteria, aggregations))

    def statistics_by_category(self, criteria: SearchCriteria, *, limit: int) -> list[Statistics]:
        names = [item.value for item in self.count_terms(criteria, "category", limit=limit + 1)]
        largest_categories = criteria if len(names) <= limit else criteria.within("category", names[:limit])
        return statistics.by_category(lambda aggregations: self._aggregate(largest_categories, aggregations))

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return Completer(self._searcher.search_many).complete(prefix, kinds, limit=limit)

    def _aggregate(self, criteria: SearchCriteria, aggregations: dict[str, Any]) -> Aggregation:
        request = {"query": compile_criteria(criteria), "size": 0, "track_total_hits": False, "aggs": aggregations}
        results: Aggregation = self._searcher.search(request)["aggregations"]
        return results


class ElasticSearcher:
    """Sends requests. Treats a missing index as empty. Raises IndexUnavailableError and IndexRejectedError."""

    def __init__(self, address: ElasticAddress) -> None:
        self._server = address.server
        self._alias = address.alias
        self._client = connect(address, timeout=_TIMEOUT_SECONDS)

    def ping(self) -> None:
        with translate_errors(self._server):
            self._client.indices.exists_alias(name=self._alias)

    def search(self, request: dict[str, Any]) -> Response:
        """Return the complete response. Partial results are errors."""
        with translate_errors(self._server):
            try:
                return self._send(request)
            except ApiError as error:
                # The index may have been replaced during the search. Then the alias refers to the new index.
                if not is_index_missing(error) and not is_transient(error.status_code, error.error):
                    raise
            time.sleep(_RETRY_SECONDS)
            try:
                return self._send(request)
            except ApiError as error:
                if is_index_missing(error):
                    return empty_response(request)
                raise

    def search_many(self, requests: Sequence[dict[str, Any]]) -> list[Response]:
        """Send several searches in one request."""
        lines = [line for request in requests for line in ({"allow_partial_search_results": False}, request)]
        with translate_errors(self._server):
            responses = self._client.msearch(index=self._alias, searches=lines).body["responses"]
        return [
            self.search(request) if "error" in response else response
            for request, response in zip(requests, responses, strict=True)
        ]

    def _send(self, request: dict[str, Any]) -> Response:
        response: Response = self._client.search(
            index=self._alias, body=request, allow_partial_search_results=False
        ).body
        return response


def empty_response(request: Mapping[str, Any]) -> Response:
    """Return the response of an index without books."""
    return {
        "hits": {"total": {"value": 0, "relation": "eq"}, "hits": []},
        "aggregations": _empty_aggregations(request.get("aggs", {})),
        "suggest": {name: [] for name in request.get("suggest", {})},
    }


def _empty_aggregations(aggregations: Mapping[str, Any]) -> Aggregation:
    return {
        name: {"buckets": [], "doc_count": 0, "count": 0, "value": 0, **_empty_aggregations(request.get("aggs", {}))}
        for name, request in aggregations.items()
    }

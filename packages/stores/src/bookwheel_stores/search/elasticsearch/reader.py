"""Searches Elasticsearch."""

from collections.abc import Sequence
from typing import Any

from bookwheel_stores.search.elasticsearch import statistics as elastic_statistics
from bookwheel_stores.search.elasticsearch.address import ElasticAddress
from bookwheel_stores.search.elasticsearch.errors import translated
from bookwheel_stores.search.elasticsearch.facets import FacetPlan
from bookwheel_stores.search.elasticsearch.queries import scored, selected
from bookwheel_stores.search.elasticsearch.search import Answer, ElasticSearcher
from bookwheel_stores.search.elasticsearch.suggest import Completer
from bookwheel_stores.search.elasticsearch.walk import Order
from bookwheel_stores.search.queries import (
    Facet,
    SearchPage,
    SearchQuery,
    Selection,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)
from bookwheel_stores.search.tantivy.facets import MAX_TERMS, ordered_counts

_NUMBERS = 10_000  # what Elasticsearch gives in one page
_COUNTED = 30_000  # how many different values are counted one by one


def page_request(query: SearchQuery, plan: FacetPlan, order: Order) -> dict[str, Any]:
    """What is sent for one page: a book more than it shows, which tells whether another page follows."""
    request: dict[str, Any] = {
        "query": scored(plan.wide) if order.is_scored else selected(plan.wide),
        "sort": order.clauses(),
        "size": query.limit + 1,
        "stored_fields": ["body"],
        "track_total_hits": True,
    }
    if plan.narrowing is not None:
        request["post_filter"] = plan.narrowing
    if query.after is not None:
        request["search_after"] = order.after(query.after)
    if query.facets:
        request["aggs"] = plan.aggregations()
    return request


class ElasticIndexReader:
    """See `IndexReader`. Sees each commit at once, so `reload` has nothing to do."""

    def __init__(self, address: ElasticAddress) -> None:
        self._address = address
        self._searcher = ElasticSearcher(address)

    @property
    def blocks(self) -> bool:
        return True

    def reload(self) -> None:
        pass

    def check(self) -> None:
        with translated(self._address.server):
            self._searcher.client.indices.exists_alias(name=self._address.alias)

    def search(self, query: SearchQuery) -> SearchPage:
        plan, order = FacetPlan(query.selection, query.facets), Order.of(query)
        answer = self._searcher.search(page_request(query, plan, order))
        hits = answer["hits"]["hits"]
        items = [hit["fields"]["body"][0].encode() for hit in hits[: query.limit]]
        following = order.position(hits[query.limit - 1]["sort"]) if len(hits) > query.limit else None
        return SearchPage(items, int(answer["hits"]["total"]["value"]), self._facets(plan, query, answer), following)

    def _facets(self, plan: FacetPlan, query: SearchQuery, answer: Answer) -> dict[str, Facet]:
        if not query.facets:
            return {}
        answers = answer["aggregations"]
        wanted = plan.histograms(answers)
        histograms = self._aggregate(plan.wide, wanted) if wanted else {}
        return plan.facets(answers, histograms)

    def count(self, selection: Selection) -> int:
        answer = self._searcher.search({"query": selected(selection), "size": 0, "track_total_hits": True})
        return int(answer["hits"]["total"]["value"])

    def numbers(self, selection: Selection, *, limit: int) -> list[int]:
        found: list[int] = []
        request: dict[str, Any] = {
            "query": selected(selection),
            "sort": [{"number": "asc"}],
            "stored_fields": "_none_",
            "track_total_hits": False,
        }
        while len(found) < limit:
            request["size"] = min(_NUMBERS, limit - len(found))
            hits = self._searcher.search(request)["hits"]["hits"]
            found += [int(hit["sort"][0]) for hit in hits]
            if len(hits) < request["size"]:
                break
            request["search_after"] = [found[-1]]
        return found

    def terms(self, selection: Selection, name: str, *, limit: int) -> list[TermCount]:
        wanted = {"terms": {"terms": {"field": name, "size": min(limit, MAX_TERMS)}}}
        return ordered_counts(name, self._aggregate(selection, wanted)["terms"])

    def distinct(self, selection: Selection, name: str) -> int:
        wanted = {"distinct": {"cardinality": {"field": name, "precision_threshold": 40_000}}}
        estimate = int(self._aggregate(selection, wanted)["distinct"]["value"])
        return len(self.terms(selection, name, limit=MAX_TERMS)) if estimate < _COUNTED else estimate

    def statistics(self, selection: Selection) -> Statistics:
        return elastic_statistics.overall(lambda wanted: self._aggregate(selection, wanted))

    def statistics_by_category(self, selection: Selection, *, limit: int) -> list[Statistics]:
        names = [each.value for each in self.terms(selection, "category", limit=limit + 1)]
        wanted = selection if len(names) <= limit else selection.within("category", names[:limit])
        return elastic_statistics.by_category(lambda figures: self._aggregate(wanted, figures))

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return Completer(self._searcher.search_many).complete(prefix, kinds, limit=limit)

    def _aggregate(self, selection: Selection, wanted: dict[str, Any]) -> Answer:
        request = {"query": selected(selection), "size": 0, "track_total_hits": False, "aggs": wanted}
        answers: Answer = self._searcher.search(request)["aggregations"]
        return answers

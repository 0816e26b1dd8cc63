"""Complete titles, authors and categories with prefix queries, and with the completion suggester for typos."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson

from bookwheel_stores.search.elasticsearch.mapping import completion_field, prefix_field
from bookwheel_stores.search.elasticsearch.queries import NOT_REMOVED, Query
from bookwheel_stores.search.facets import Aggregation
from bookwheel_stores.search.queries import Suggestion, SuggestionKind
from bookwheel_stores.search.suggest import NAME_CANDIDATES, TITLE_CANDIDATES, complete, matches_prefix
from bookwheel_stores.search.text import fold, fold_words

SearchMany = Callable[[Sequence[dict[str, Any]]], list[Aggregation]]
"""Sends several searches in one request and returns their responses."""
_MAX_INPUTS = 200


class Completer:
    def __init__(self, search_many: SearchMany) -> None:
        self._search_many = search_many

    def complete(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        if not kinds:
            return []
        return complete(prefix, limit=limit, candidates=lambda text, typos: self._list_candidates(kinds, text, typos))

    def _list_candidates(self, kinds: Sequence[SuggestionKind], text: str, typos: int) -> list[Suggestion]:
        queries = {kind: prefix_query(kind, text) for kind in kinds} if not typos else self._fuzzy(kinds, text, typos)
        if not queries:
            return []
        responses = self._search_many([candidates_request(kind, query) for kind, query in queries.items()])
        suggestions: list[Suggestion] = []
        for kind, response in zip(queries, responses, strict=True):
            if kind is SuggestionKind.TITLE:
                suggestions += self._count_titles(response)
                continue
            for bucket in response["aggregations"]["names"]["buckets"]:
                # The buckets include other authors of matching books.
                if matches_prefix(text, fold_words(bucket["key"]), typos):
                    suggestions.append(Suggestion(kind, bucket["key"], bucket["doc_count"]))
        return suggestions

    def _fuzzy(self, kinds: Sequence[SuggestionKind], text: str, typos: int) -> dict[SuggestionKind, Query]:
        """Return queries for the completions of a text with typos, by kind."""
        suggest = {str(kind): fuzzy_completion(kind, text, typos) for kind in kinds}
        (response,) = self._search_many([{"size": 0, "suggest": suggest}])
        queries: dict[SuggestionKind, Query] = {}
        for kind in kinds:
            inputs = [option["text"] for entry in response["suggest"][str(kind)] for option in entry["options"]]
            if inputs:
                queries[kind] = {"terms": {prefix_field(kind): inputs}}
        return queries

    def _count_titles(self, response: Aggregation) -> list[Suggestion]:
        bodies = (orjson.loads(hit["fields"]["body"][0]) for hit in response["hits"]["hits"])
        folded_titles = {str(body["title"]): fold(str(body["title"])) for body in bodies}
        if not folded_titles:
            return []
        (same_titles,) = self._search_many([same_titles_request(list(set(folded_titles.values())))])
        counts = {bucket["key"]: bucket["doc_count"] for bucket in same_titles["aggregations"]["titles"]["buckets"]}
        return [
            Suggestion(SuggestionKind.TITLE, title, counts[folded])
            for title, folded in folded_titles.items()
            if folded in counts
        ]


def prefix_query(kind: SuggestionKind, text: str) -> Query:
    return {"prefix": {prefix_field(kind): {"value": text}}}


def fuzzy_completion(kind: SuggestionKind, text: str, typos: int) -> dict[str, Any]:
    fuzzy = {"fuzziness": typos, "min_length": 1, "prefix_length": 0, "unicode_aware": True}
    completion = {"field": completion_field(kind), "size": _MAX_INPUTS, "skip_duplicates": True, "fuzzy": fuzzy}
    return {"prefix": text, "completion": completion}


def candidates_request(kind: SuggestionKind, query: Query) -> dict[str, Any]:
    matching: Query = {"bool": {"filter": [NOT_REMOVED, query]}}
    if kind is SuggestionKind.TITLE:
        sort = [{"weight": "desc"}, {"number": "asc"}]
        options = {"sort": sort, "stored_fields": ["body"], "track_total_hits": False}
        return {"query": matching, "size": TITLE_CANDIDATES, **options}
    names = {"names": {"terms": {"field": str(kind), "size": NAME_CANDIDATES}}}
    return {"query": matching, "size": 0, "track_total_hits": False, "aggs": names}


def same_titles_request(titles: list[str]) -> dict[str, Any]:
    counts = {"titles": {"terms": {"field": "title_exact", "size": len(titles), "include": titles}}}
    query: Query = {"bool": {"filter": [NOT_REMOVED, {"terms": {"title_exact": titles}}]}}
    return {"query": query, "size": 0, "track_total_hits": False, "aggs": counts}

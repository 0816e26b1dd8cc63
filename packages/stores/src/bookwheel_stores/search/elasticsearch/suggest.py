"""Completes what somebody is typing: completion suggester for what needs typos, prefixes for what does not."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from bookwheel_stores.search.elasticsearch.mapping import complete_field, suggest_field
from bookwheel_stores.search.elasticsearch.queries import LIVING, Query, allowed_typos
from bookwheel_stores.search.folding import folded, folded_words
from bookwheel_stores.search.queries import Suggestion, SuggestionKind
from bookwheel_stores.search.tantivy.suggest import completes

Answer = Mapping[str, Any]
SearchMany = Callable[[Sequence[dict[str, Any]]], list[Answer]]
"""Sends several searches at once and returns their answers."""
_MAX_PREFIX = 64
_CANDIDATES = 50  # titles looked at for one completion; several books may share a title
_NAMES = 1_000
_INPUTS = 200


class Completer:
    def __init__(self, search: SearchMany) -> None:
        self._search = search

    def complete(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        """What begins with the prefix comes before what has it at a later word, and that before what needs a typo."""
        text = " ".join(prefix)[:_MAX_PREFIX]
        if not text or not kinds:
            return []
        found: dict[tuple[SuggestionKind, str], tuple[int, Suggestion]] = {}
        for typos in range(allowed_typos(text) + 1):
            for suggestion in self._candidates(kinds, text, typos):
                rank = 0 if folded(suggestion.text).startswith(text) else 1 + typos
                found.setdefault((suggestion.kind, suggestion.text), (rank, suggestion))
            if len(found) >= limit:
                break
        ordered = sorted(found.values(), key=lambda each: (each[0], -each[1].count, len(each[1].text), each[1].text))
        return [suggestion for _, suggestion in ordered[:limit]]

    def _candidates(self, kinds: Sequence[SuggestionKind], text: str, typos: int) -> list[Suggestion]:
        queries = {kind: prefix_query(kind, text) for kind in kinds} if typos == 0 else self._near(kinds, text, typos)
        answers = self._search([candidates_request(kind, query) for kind, query in queries.items()]) if queries else []
        found: list[Suggestion] = []
        for kind, answer in zip(queries, answers, strict=True):
            if kind is SuggestionKind.TITLE:
                found += self._titles(answer)
                continue
            for bucket in answer["aggregations"]["names"]["buckets"]:
                # a book's other authors are counted with the one who matches
                if completes(text, folded_words(bucket["key"]), typos):
                    found.append(Suggestion(kind, bucket["key"], bucket["doc_count"]))
        return found

    def _near(self, kinds: Sequence[SuggestionKind], text: str, typos: int) -> dict[SuggestionKind, Query]:
        """By the names' beginnings that are so many typos from the text."""
        wanted = {str(kind): fuzzy_completion(kind, text, typos) for kind in kinds}
        (answer,) = self._search([{"size": 0, "suggest": wanted}])
        queries: dict[SuggestionKind, Query] = {}
        for kind in kinds:
            beginnings = [option["text"] for entry in answer["suggest"][str(kind)] for option in entry["options"]]
            if beginnings:
                queries[kind] = {"terms": {suggest_field(kind): beginnings}}
        return queries

    def _titles(self, answer: Answer) -> list[Suggestion]:
        bodies = (orjson.loads(hit["fields"]["body"][0]) for hit in answer["hits"]["hits"])
        titles = {str(body["title"]): folded(str(body["title"])) for body in bodies}
        if not titles:
            return []
        (same,) = self._search([same_titles_request(list(set(titles.values())))])
        counts = {bucket["key"]: bucket["doc_count"] for bucket in same["aggregations"]["titles"]["buckets"]}
        return [
            Suggestion(SuggestionKind.TITLE, title, counts[words]) for title, words in titles.items() if words in counts
        ]


def prefix_query(kind: SuggestionKind, text: str) -> Query:
    return {"prefix": {suggest_field(kind): {"value": text}}}


def fuzzy_completion(kind: SuggestionKind, text: str, typos: int) -> dict[str, Any]:
    fuzzy = {"fuzziness": typos, "min_length": 1, "prefix_length": 0, "unicode_aware": True}
    completion = {"field": complete_field(kind), "size": _INPUTS, "skip_duplicates": True, "fuzzy": fuzzy}
    return {"prefix": text, "completion": completion}


def candidates_request(kind: SuggestionKind, query: Query) -> dict[str, Any]:
    found: Query = {"bool": {"filter": [LIVING, query]}}
    if kind is SuggestionKind.TITLE:
        order = [{"weight": "desc"}, {"number": "asc"}]
        shown = {"sort": order, "stored_fields": ["body"], "track_total_hits": False}
        return {"query": found, "size": _CANDIDATES, **shown}
    names = {"names": {"terms": {"field": str(kind), "size": _NAMES}}}
    return {"query": found, "size": 0, "track_total_hits": False, "aggs": names}


def same_titles_request(titles: list[str]) -> dict[str, Any]:
    counted = {"titles": {"terms": {"field": "title_exact", "size": len(titles), "include": titles}}}
    query: Query = {"bool": {"filter": [LIVING, {"terms": {"title_exact": titles}}]}}
    return {"query": query, "size": 0, "track_total_hits": False, "aggs": counted}

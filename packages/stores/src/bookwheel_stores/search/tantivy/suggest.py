"""Complete titles, authors and categories with Tantivy."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain

import tantivy
from tantivy import Query

from bookwheel_stores.search.facets import ordered_counts
from bookwheel_stores.search.queries import Suggestion, SuggestionKind
from bookwheel_stores.search.suggest import NAME_CANDIDATES, TITLE_CANDIDATES, complete, matches_prefix
from bookwheel_stores.search.tantivy.facets import terms_request
from bookwheel_stores.search.tantivy.queries import QueryCompiler, total_of
from bookwheel_stores.search.text import fold, fold_words


class Completer:
    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler) -> None:
        self._searcher = searcher
        self._compiler = compiler

    def complete(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return complete(
            prefix,
            limit=limit,
            candidates=lambda text, typos: chain.from_iterable(
                self._list_candidates(kind, text, typos) for kind in kinds
            ),
        )

    def _list_candidates(self, kind: SuggestionKind, text: str, typos: int) -> Iterator[Suggestion]:
        query = self._compiler.completion(f"suggest_{kind}", text, typos=typos)
        if kind is SuggestionKind.TITLE:
            yield from self._list_titles(query)
            return
        response = self._searcher.aggregate(query, {"names": terms_request(kind, size=NAME_CANDIDATES)})
        for item in ordered_counts(kind, response["names"]):
            # The counts include other authors of matching books.
            if matches_prefix(text, fold_words(item.value), typos):
                yield Suggestion(kind, item.value, item.count)

    def _list_titles(self, query: Query) -> Iterator[Suggestion]:
        hits = self._searcher.search(query, TITLE_CANDIDATES, count=False, weight_by_field="weight").hits
        bodies = (self._searcher.doc(address).get_first("body") for _, address in hits)
        for title in dict.fromkeys(str(json.loads(bytes(body))["title"]) for body in bodies if body is not None):
            same_title = self._searcher.search(self._compiler.term("title_exact", fold(title)), 1)
            yield Suggestion(SuggestionKind.TITLE, title, total_of(same_title))

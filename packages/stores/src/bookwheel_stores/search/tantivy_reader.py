"""Searches a Tantivy folder."""

from collections.abc import Sequence
from pathlib import Path

import tantivy

from bookwheel_stores.search.queries import (
    SearchPage,
    SearchQuery,
    Selection,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)
from bookwheel_stores.search.tantivy_facets import MAX_TERMS, FacetCounter, ordered_counts, spread_of, terms_request
from bookwheel_stores.search.tantivy_queries import QueryCompiler, count_of, numbers_of
from bookwheel_stores.search.tantivy_schema import build_schema, index_folder, register_tokenizer
from bookwheel_stores.search.tantivy_statistics import StatisticsCounter
from bookwheel_stores.search.tantivy_suggest import Completer
from bookwheel_stores.search.tantivy_vocabulary import Vocabulary
from bookwheel_stores.search.tantivy_walk import Place, Walker

_KEPT_BODIES = 4096


class _Commit:
    """One commit of the index, and what has been found out about it. A search keeps to the one it began with."""

    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema) -> None:
        self.searcher = searcher
        self.compiler = QueryCompiler(schema, Vocabulary(searcher))
        self.spread = spread_of(searcher)
        self._bodies: dict[int, bytes] = {}

    def body(self, place: Place) -> bytes:
        """A book's JSON. Popular books are met again, and reading a page of them takes a third of a search."""
        body = self._bodies.get(place.number)
        if body is None:
            body = bytes(self.searcher.doc(place.address).get_first("body") or b"")
            if len(self._bodies) >= _KEPT_BODIES:
                self._bodies.clear()
            self._bodies[place.number] = body
        return body


class TantivyIndexReader:
    """See `IndexReader`. Never writes: until a writer has made the folder, it reads an empty index in memory."""

    def __init__(self, path: Path) -> None:
        self._folder = index_folder(path)
        self._schema = build_schema()
        self._index = tantivy.Index(self._schema)
        self._opened = False
        self._commit = _Commit(self._index.searcher(), self._schema)
        self.reload()

    def reload(self) -> None:
        if not self._opened and (self._folder / "meta.json").exists():
            self._index = tantivy.Index.open(str(self._folder))
            self._index.config_reader("manual")
            self._opened = True
            register_tokenizer(self._index)
        self._index.reload()
        self._commit = _Commit(self._index.searcher(), self._schema)

    def search(self, query: SearchQuery) -> SearchPage:
        commit = self._commit
        found = Walker(commit.searcher, commit.compiler).page(query)
        items = [commit.body(place) for place in found.books]
        facets = {}
        if query.facets:
            counter = FacetCounter(commit.searcher, commit.compiler, commit.spread, query.selection)
            facets = counter.facets(query.facets)
        return SearchPage(items, found.total, facets, found.next)

    def count(self, selection: Selection) -> int:
        return count_of(self._commit.searcher.search(self._commit.compiler.selection(selection), 1))

    def numbers(self, selection: Selection, *, limit: int) -> list[int]:
        searcher = self._commit.searcher
        hits = searcher.search(self._commit.compiler.selection(selection), limit, count=False).hits
        return numbers_of(searcher, [address for _, address in hits])

    def terms(self, selection: Selection, name: str, *, limit: int) -> list[TermCount]:
        request = {"terms": terms_request(name, size=MAX_TERMS)}
        answer = self._commit.searcher.aggregate(self._commit.compiler.selection(selection), request)
        return ordered_counts(name, answer["terms"])[:limit]

    def distinct(self, selection: Selection, name: str) -> int:
        estimate = self._commit.searcher.cardinality(self._commit.compiler.selection(selection), name)
        return len(self.terms(selection, name, limit=MAX_TERMS)) if estimate < MAX_TERMS / 2 else round(estimate)

    def statistics(self, selection: Selection) -> Statistics:
        return StatisticsCounter(self._commit.searcher, self._commit.compiler, selection).overall()

    def statistics_by_category(self, selection: Selection) -> list[Statistics]:
        return StatisticsCounter(self._commit.searcher, self._commit.compiler, selection).by_category()

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return Completer(self._commit.searcher, self._commit.compiler).complete(prefix, kinds, limit=limit)

"""Searches a Tantivy folder."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import tantivy

from bookwheel_stores.search.queries import (
    SearchPage,
    SearchQuery,
    Selection,
    Sort,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
    TextQuery,
)
from bookwheel_stores.search.tantivy.facets import MAX_TERMS, FacetCounter, ordered_counts, spread_of, terms_request
from bookwheel_stores.search.tantivy.matches import MOST_MATCHES, Matches
from bookwheel_stores.search.tantivy.queries import QueryCompiler, count_of, numbers_of
from bookwheel_stores.search.tantivy.schema import build_schema, index_folder, register_tokenizer
from bookwheel_stores.search.tantivy.statistics import StatisticsCounter
from bookwheel_stores.search.tantivy.suggest import Completer
from bookwheel_stores.search.tantivy.vocabulary import Vocabulary
from bookwheel_stores.search.tantivy.walk import Place, Walker

_KEPT_BODIES = 4096
_KEPT_TEXTS = 256


class _Commit:
    """One commit of the index, and what has been found out about it. A search keeps to the one it began with."""

    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema, *, most_matches: int) -> None:
        self.searcher = searcher
        self._most_matches = most_matches
        self.compiler = QueryCompiler(schema, Vocabulary(searcher))
        self.spread = spread_of(searcher)
        self.known: dict[int, bytes] = {}  # books' JSON by number
        self.matches = lru_cache(maxsize=_KEPT_TEXTS)(self._matches)

    def _matches(self, text: TextQuery) -> Matches | None:
        """None where more books match than are looked at one by one."""
        selected = self.compiler.selection(Selection(text), scored=True)
        found = self.searcher.search(selected, max(self._most_matches, 1), weight_by_field="weight")
        if count_of(found) > self._most_matches:
            return None
        return Matches(self.searcher, found.hits, self.body)

    def body(self, place: Place) -> bytes:
        """A book's JSON. Popular books are met again, and reading a page of them takes a third of a search."""
        body = self.known.get(place.number)
        if body is None:
            body = bytes(self.searcher.doc(place.address).get_first("body") or b"")
            if len(self.known) >= _KEPT_BODIES:
                self.known.clear()
            self.known[place.number] = body
        return body


class TantivyIndexReader:
    """See `IndexReader`. Never writes: until a writer has made the folder, it reads an empty index in memory.

    Texts that at most `most_matches` books match are answered from `Matches`.
    """

    def __init__(self, path: Path, *, most_matches: int = MOST_MATCHES) -> None:
        self._most_matches = most_matches
        self._path = path
        self._folder: Path | None = None
        self._schema = build_schema()
        self._index = tantivy.Index(self._schema)
        self._commit = _Commit(self._index.searcher(), self._schema, most_matches=self._most_matches)
        self.reload()

    @property
    def blocks(self) -> bool:
        return False

    def check(self) -> None:
        pass

    def reload(self) -> None:
        folder = index_folder(self._path)
        if folder != self._folder and (folder / "meta.json").exists():
            try:
                index = tantivy.Index.open(str(folder))
            except ValueError:
                if index_folder(self._path) == folder:
                    raise
                self.reload()  # another took its place between the two lines
                return
            index.config_reader("manual")
            register_tokenizer(index)
            self._index, self._folder = index, folder
        self._index.reload()
        self._commit = _Commit(self._index.searcher(), self._schema, most_matches=self._most_matches)

    def search(self, query: SearchQuery) -> SearchPage:
        commit = self._commit
        text = query.selection.text
        matches = None if text is None else commit.matches(text)
        rows = None if matches is None else matches.selected(query.selection.filters)
        if matches is not None and rows is not None and query.sort is Sort.RELEVANCE:
            found = matches.page(query, rows)
        else:
            found = Walker(commit.searcher, commit.compiler).page(query)
        items = [commit.known.get(place.number) or commit.body(place) for place in found.books]
        facets = {}
        if query.facets and matches is not None and rows is not None:
            facets = matches.facets(query.selection.filters, query.facets, rows)
        elif query.facets:
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

    def statistics_by_category(self, selection: Selection, *, limit: int) -> list[Statistics]:
        commit = self._commit
        names = [each.value for each in self.terms(selection, "category", limit=limit + 1)]
        counter = StatisticsCounter(commit.searcher, commit.compiler, selection)
        return counter.by_category(names, limit=limit, currencies=len(commit.spread.currencies))

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return Completer(self._commit.searcher, self._commit.compiler).complete(prefix, kinds, limit=limit)

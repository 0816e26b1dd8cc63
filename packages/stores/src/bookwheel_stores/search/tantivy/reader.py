"""Search a Tantivy folder."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import tantivy

from bookwheel_stores.search.facets import MAX_TERMS, ordered_counts
from bookwheel_stores.search.queries import (
    SearchCriteria,
    SearchPage,
    SearchQuery,
    Sort,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
    TextQuery,
)
from bookwheel_stores.search.tantivy.facets import FacetCounter, read_facet_settings, terms_request
from bookwheel_stores.search.tantivy.matches import MAX_MATCHES, TextMatches
from bookwheel_stores.search.tantivy.pages import BookAddress, Paginator
from bookwheel_stores.search.tantivy.queries import QueryCompiler, Vocabulary, numbers_of, total_of
from bookwheel_stores.search.tantivy.schema import build_schema, index_folder, register_tokenizer
from bookwheel_stores.search.tantivy.statistics import StatisticsCounter
from bookwheel_stores.search.tantivy.suggest import Completer

_CACHED_BODIES = 4096
_CACHED_TEXTS = 256


class _Commit:
    """One commit of the index, with its caches. A search uses the same commit from start to end."""

    def __init__(self, searcher: tantivy.Searcher, schema: tantivy.Schema, *, max_matches: int) -> None:
        self.searcher = searcher
        self._max_matches = max_matches
        self.compiler = QueryCompiler(schema, Vocabulary(searcher))
        self.facet_settings = read_facet_settings(searcher)
        self.bodies: dict[int, bytes] = {}  # by book number
        self.matches = lru_cache(maxsize=_CACHED_TEXTS)(self._matches)

    def _matches(self, text: TextQuery) -> TextMatches | None:
        """Return the matches; None if more than `max_matches` books match."""
        query = self.compiler.compile(SearchCriteria(text), scored=True)
        result = self.searcher.search(query, max(self._max_matches, 1), weight_by_field="weight")
        if total_of(result) > self._max_matches:
            return None
        return TextMatches(self.searcher, result.hits, self.read_body)

    def read_body(self, book: BookAddress) -> bytes:
        """Return the JSON of a book. Without the cache, reading the books takes a third of the time of a search."""
        body = self.bodies.get(book.number)
        if body is None:
            body = bytes(self.searcher.doc(book.address).get_first("body") or b"")
            if len(self.bodies) >= _CACHED_BODIES:
                self.bodies.clear()
            self.bodies[book.number] = body
        return body


class TantivyIndexReader:
    """See `IndexReader`. Never writes. While the folder is missing, it reads an empty index in memory.

    Text queries with at most `max_matches` matches use `TextMatches`.
    """

    is_blocking = False

    def __init__(self, path: Path, *, max_matches: int = MAX_MATCHES) -> None:
        self._max_matches = max_matches
        self._path = path
        self._folder: Path | None = None
        self._schema = build_schema()
        self._index = tantivy.Index(self._schema)
        self._commit = _Commit(self._index.searcher(), self._schema, max_matches=self._max_matches)
        self.reload()

    def ping(self) -> None:
        pass

    def reload(self) -> None:
        folder = index_folder(self._path)
        if folder != self._folder and (folder / "meta.json").exists():
            try:
                index = tantivy.Index.open(str(folder))
            except ValueError:
                if index_folder(self._path) == folder:
                    raise
                self.reload()  # the folder was replaced after its name was read
                return
            index.config_reader("manual")
            register_tokenizer(index)
            self._index, self._folder = index, folder
        self._index.reload()
        self._commit = _Commit(self._index.searcher(), self._schema, max_matches=self._max_matches)

    def search(self, query: SearchQuery) -> SearchPage:
        commit = self._commit
        text = query.criteria.text
        matches = None if text is None else commit.matches(text)
        rows = None if matches is None else matches.select(query.criteria.filters)
        if matches is not None and rows is not None and query.sort is Sort.RELEVANCE:
            page = matches.page(query, rows)
        else:
            page = Paginator(commit.searcher, commit.compiler).page(query)
        items = [commit.bodies.get(book.number) or commit.read_body(book) for book in page.books]
        facets = {}
        if query.facets and matches is not None and rows is not None:
            facets = matches.facets(query.criteria.filters, query.facets, rows)
        elif query.facets:
            counter = FacetCounter(commit.searcher, commit.compiler, commit.facet_settings, query.criteria)
            facets = counter.count(query.facets)
        return SearchPage(items, page.total, facets, page.next)

    def count(self, criteria: SearchCriteria) -> int:
        return total_of(self._commit.searcher.search(self._commit.compiler.compile(criteria), 1))

    def list_numbers(self, criteria: SearchCriteria, *, limit: int) -> list[int]:
        searcher = self._commit.searcher
        hits = searcher.search(self._commit.compiler.compile(criteria), limit, count=False).hits
        return numbers_of(searcher, [address for _, address in hits])

    def count_terms(self, criteria: SearchCriteria, name: str, *, limit: int) -> list[TermCount]:
        request = {"terms": terms_request(name, size=MAX_TERMS)}
        response = self._commit.searcher.aggregate(self._commit.compiler.compile(criteria), request)
        return ordered_counts(name, response["terms"])[:limit]

    def count_distinct(self, criteria: SearchCriteria, name: str) -> int:
        estimate = self._commit.searcher.cardinality(self._commit.compiler.compile(criteria), name)
        return len(self.count_terms(criteria, name, limit=MAX_TERMS)) if estimate < MAX_TERMS / 2 else round(estimate)

    def statistics(self, criteria: SearchCriteria) -> Statistics:
        return StatisticsCounter(self._commit.searcher, self._commit.compiler, criteria).overall()

    def statistics_by_category(self, criteria: SearchCriteria, *, limit: int) -> list[Statistics]:
        commit = self._commit
        names = [item.value for item in self.count_terms(criteria, "category", limit=limit + 1)]
        counter = StatisticsCounter(commit.searcher, commit.compiler, criteria)
        return counter.by_category(names, limit=limit, currencies=len(commit.facet_settings.currencies))

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        return Completer(self._commit.searcher, self._commit.compiler).complete(prefix, kinds, limit=limit)

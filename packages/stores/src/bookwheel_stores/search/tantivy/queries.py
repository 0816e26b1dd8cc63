"""Compile search criteria to Tantivy queries."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import tantivy
from rapidfuzz.distance import OSA
from rapidfuzz.process import extract
from tantivy import FieldType, Occur, Query

from bookwheel_stores.search import scoring
from bookwheel_stores.search.fields import FIELD_KINDS, TEXT_FIELDS, TITLE_START, FieldKind, range_units
from bookwheel_stores.search.queries import Clause, Filter, Range, SearchCriteria, TextQuery
from bookwheel_stores.search.tantivy.schema import TYPO_FIELD

_CACHED_WORDS = 4096


def total_of(result: tantivy.SearchResult) -> int:
    """Return the number of all matching books."""
    return int(result.count or 0)  # type: ignore[attr-defined]  # missing in the stubs of the package


def numbers_of(searcher: tantivy.Searcher, addresses: list[tantivy.DocAddress]) -> list[int]:
    return [int(number or 0) for number in searcher.fast_field_values("number", addresses)]


def both(left: Query, right: Query) -> Query:
    return Query.boolean_query([(Occur.Must, left), (Occur.Must, right)])


class Vocabulary:
    """The words of one commit of the index, by field, read on first use."""

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self._searcher = searcher
        self._words: dict[str, list[str]] = {}
        self.similar = lru_cache(maxsize=_CACHED_WORDS)(self._similar)

    def _similar(self, field: str, word: str, typos: int) -> tuple[str, ...]:
        """Return the other words of a field within an optimal string alignment distance."""
        if field not in self._words:
            self._words[field] = [term for term, _ in self._searcher.terms_with_prefix(field, "")]
        matches = extract(word, self._words[field], scorer=OSA.distance, score_cutoff=typos, limit=None)
        return tuple(term for term, _, _ in matches if term != word)


class QueryCompiler:
    """Compiles queries for one commit of the index, because similar words depend on the commit."""

    def __init__(self, schema: tantivy.Schema, vocabulary: Vocabulary) -> None:
        self._schema = schema
        self._vocabulary = vocabulary

    def compile(self, criteria: SearchCriteria, *, scored: bool = False) -> Query:
        """Compile search criteria. Scores are only valid with `scored`, which takes longer."""
        parts = [(Occur.Must, Query.const_score_query(self._filter(item), 0.0)) for item in criteria.filters]
        if criteria.text is not None:
            parts.extend(self._text(criteria.text, self._best_match if scored else self._any_match))
            if scored and criteria.text.words:
                parts.extend(self._title_bonus(criteria.text.words))
        return Query.boolean_query(parts) if parts else Query.all_query()

    def with_minimum(self, query: Query, field: str, minimum: int) -> Query:
        """Restrict a query to books whose value of `field` is at least `minimum`."""
        return both(query, Query.range_query(self._schema, field, FieldType.Unsigned, lower_bound=minimum))

    def completion(self, field: str, prefix: str, *, typos: int) -> Query:
        return Query.fuzzy_term_query(self._schema, field, prefix, distance=typos, prefix=True)

    def term(self, field: str, *values: str) -> Query:
        """Compile a query for books with any of the exact values."""
        return _any_of([Query.term_query(self._schema, field, value, index_option="basic") for value in values])

    def _filter(self, item: Filter) -> Query:
        kind = FIELD_KINDS[item.name]
        if kind is FieldKind.TERM:
            return self.term(item.name, *item.values)
        if kind is FieldKind.BOOLEAN:
            return _any_of([Query.term_query(self._schema, item.name, value == "true") for value in item.values])
        return _any_of([self._range(item.name, bounds) for bounds in item.ranges])

    def _range(self, name: str, bounds: Range) -> Query:
        low, high = range_units(name, bounds)
        return Query.range_query(self._schema, name, FieldType.Integer, lower_bound=low, upper_bound=high)

    def _text(self, text: TextQuery, compile_clause: Callable[[Clause], Query]) -> Iterator[tuple[Occur, Query]]:
        if not text.required:
            # Excluded words have no score. Every match scores 0, with and without filters.
            every_book = Query.const_score_query(Query.all_query(), 0.0)
            yield Occur.Must, every_book if text.excluded else Query.empty_query()
        for clause in text.required:
            yield Occur.Must, compile_clause(clause)
        for clause in text.excluded:
            yield Occur.MustNot, self._any_match(clause)

    def _any_match(self, clause: Clause) -> Query:
        return _any_of([query for query, _ in self._weighted_matches(clause)])

    def _best_match(self, clause: Clause) -> Query:
        scored = [Query.const_score_query(query, score) for query, score in self._weighted_matches(clause)]
        return scored[0] if len(scored) == 1 else Query.disjunction_max_query(scored)

    def _weighted_matches(self, clause: Clause) -> Iterator[tuple[Query, float]]:
        for field, weight in scoring.weighted_fields(clause.field):
            yield self._words(field, clause.words), weight
        typos = scoring.clause_typos(clause)
        if typos:
            field = TYPO_FIELD if clause.field is None else TEXT_FIELDS[clause.field].index_name
            # The fuzzy query of Tantivy builds an automaton on every use: 70 µs for one typo, 300 µs for two.
            similar = self._vocabulary.similar(field, clause.words[0], typos)
            if similar:
                yield self.term(field, *similar), scoring.TYPO_WEIGHT

    def _words(self, field: str, words: Sequence[str]) -> Query:
        if len(words) == 1:
            return Query.term_query(self._schema, field, words[0])
        return Query.phrase_query(self._schema, field, list(words))

    def _title_bonus(self, words: Sequence[str]) -> Iterator[tuple[Occur, Query]]:
        exact = self.term("title_exact", " ".join(words))
        starts = self._words("title", [TITLE_START, *words])
        yield Occur.Should, Query.const_score_query(exact, scoring.EXACT_TITLE_WEIGHT)
        yield Occur.Should, Query.const_score_query(starts, scoring.TITLE_START_WEIGHT)
        if len(words) > 1:
            phrase = self._words("title", words)
            yield Occur.Should, Query.const_score_query(phrase, scoring.TITLE_PHRASE_WEIGHT)


def _any_of(queries: list[Query]) -> Query:
    """A boolean query with 25 terms takes 50 µs. A term set query builds an automaton and takes 350 µs."""
    return queries[0] if len(queries) == 1 else Query.boolean_query([(Occur.Should, query) for query in queries])

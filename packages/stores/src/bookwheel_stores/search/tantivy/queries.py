"""Compiles engine-neutral queries to Tantivy's."""

from collections.abc import Callable, Iterator, Sequence

import tantivy
from tantivy import FieldType, Occur, Query

from bookwheel_stores.search.number_units import range_units
from bookwheel_stores.search.queries import FIELDS, Clause, FieldKind, Filter, Range, Selection, TextQuery
from bookwheel_stores.search.tantivy.schema import TITLE_START, TYPOS_FIELD
from bookwheel_stores.search.tantivy.vocabulary import Vocabulary

# Scores are sums of these, all multiples of 1/8: exact in the 32-bit floats of Tantivy whatever the order of adding.
# So a score depends on the book and the query alone: a cursor by score outlives merges and changes of other books.
_BOOSTS = {
    "title": ("title", 3.0),
    "author": ("authors", 2.0),
    "category": ("category_text", 1.0),
    "description": ("description", 1.0),
}
_WITH_TYPOS = 0.5
_WHOLE_TITLE, _START_OF_TITLE, _TITLE_PHRASE = 16.0, 4.0, 2.0


def count_of(found: tantivy.SearchResult) -> int:
    """All books that match, not only those fetched."""
    return int(found.count or 0)  # type: ignore[attr-defined]  # the package's stubs forget it


def numbers_of(searcher: tantivy.Searcher, addresses: list[tantivy.DocAddress]) -> list[int]:
    return [int(number or 0) for number in searcher.fast_field_values("number", addresses)]


def allowed_typos(word: str) -> int:
    """As Elasticsearch's `AUTO:4,8`."""
    return 0 if len(word) < 4 else 1 if len(word) < 8 else 2


class QueryCompiler:
    """Compiles for one commit of the index, whose words tell what a word with typos may mean."""

    def __init__(self, schema: tantivy.Schema, vocabulary: Vocabulary) -> None:
        self._schema = schema
        self._vocabulary = vocabulary

    def selection(self, selection: Selection, *, scored: bool = False) -> Query:
        """Which books; their scores mean something only if `scored`, which takes longer."""
        parts = [(Occur.Must, Query.const_score_query(self._filter(each), 0.0)) for each in selection.filters]
        if selection.text is not None:
            parts.extend(self._text(selection.text, self._best if scored else self._any))
            if scored and selection.text.whole:
                parts.extend(self._title_bonus(selection.text.whole))
        return Query.boolean_query(parts) if parts else Query.all_query()

    def _filter(self, wanted: Filter) -> Query:
        kind = FIELDS[wanted.name]
        if kind is FieldKind.TERM:
            return self.term(wanted.name, *wanted.values)
        if kind is FieldKind.BOOLEAN:
            return _any([Query.term_query(self._schema, wanted.name, value == "true") for value in wanted.values])
        return _any([self._range(wanted.name, each) for each in wanted.ranges])

    def from_key(self, selected: Query, field: str, key: int) -> Query:
        """The selected books whose key is `key` or greater."""
        later = Query.range_query(self._schema, field, FieldType.Unsigned, lower_bound=key)
        return Query.boolean_query([(Occur.Must, selected), (Occur.Must, later)])

    def completion(self, field: str, prefix: str, *, typos: int) -> Query:
        return Query.fuzzy_term_query(self._schema, field, prefix, distance=typos, prefix=True)

    def term(self, field: str, *values: str) -> Query:
        """Books with any of the values, exactly."""
        return _any([Query.term_query(self._schema, field, value, index_option="basic") for value in values])

    def _range(self, name: str, wanted: Range) -> Query:
        low, high = range_units(name, wanted)
        return Query.range_query(self._schema, name, FieldType.Integer, lower_bound=low, upper_bound=high)

    def _text(self, text: TextQuery, either: Callable[[Clause], Query]) -> Iterator[tuple[Occur, Query]]:
        if not text.required:
            # its own score is 1, or 0 beside filters
            every = Query.const_score_query(Query.all_query(), 0.0)
            yield Occur.Must, every if text.excluded else Query.empty_query()
        for clause in text.required:
            yield Occur.Must, either(clause)
        for clause in text.excluded:
            yield Occur.MustNot, self._any(clause)

    def _any(self, clause: Clause) -> Query:
        return _any([query for query, _ in self._clause(clause)])

    def _best(self, clause: Clause) -> Query:
        scored = [Query.const_score_query(query, score) for query, score in self._clause(clause)]
        return scored[0] if len(scored) == 1 else Query.disjunction_max_query(scored)

    def _clause(self, clause: Clause) -> Iterator[tuple[Query, float]]:
        """Each way in which the clause may match, with what it is worth."""
        fields = _BOOSTS.values() if clause.name is None else [_BOOSTS[clause.name]]
        for field, boost in fields:
            yield self._words(field, clause.words), boost
        typos = 0 if clause.exact or len(clause.words) > 1 else allowed_typos(clause.words[0])
        if typos:
            field = TYPOS_FIELD if clause.name is None else _BOOSTS[clause.name][0]
            # not Tantivy's fuzzy query: each use of one builds an automaton, 70 µs for one typo and 300 for two
            near = self._vocabulary.near(field, clause.words[0], typos)
            if near:
                yield self.term(field, *near), _WITH_TYPOS

    def _words(self, field: str, words: Sequence[str]) -> Query:
        if len(words) == 1:
            return Query.term_query(self._schema, field, words[0])
        return Query.phrase_query(self._schema, field, list(words))

    def _title_bonus(self, words: Sequence[str]) -> Iterator[tuple[Occur, Query]]:
        """What is called exactly so comes first, then what starts so, then what contains it in this order."""
        whole = self.term("title_exact", " ".join(words))
        starts = self._words("title", [TITLE_START, *words])
        yield Occur.Should, Query.const_score_query(whole, _WHOLE_TITLE)
        yield Occur.Should, Query.const_score_query(starts, _START_OF_TITLE)
        if len(words) > 1:
            yield Occur.Should, Query.const_score_query(self._words("title", words), _TITLE_PHRASE)


def _any(queries: list[Query]) -> Query:
    """Not Tantivy's term set, which builds an automaton of its terms: 350 µs for 25 of them, where this takes 50."""
    return queries[0] if len(queries) == 1 else Query.boolean_query([(Occur.Should, each) for each in queries])

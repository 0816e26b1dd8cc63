"""Compiles engine-neutral queries to Elasticsearch's: pure functions that return what is sent."""

from collections.abc import Iterator, Sequence
from typing import Any

from bookwheel_stores.search.elasticsearch.mapping import TYPOS
from bookwheel_stores.search.number_units import range_units
from bookwheel_stores.search.queries import FIELDS, Clause, FieldKind, Filter, Range, Selection, TextQuery
from bookwheel_stores.search.tantivy.schema import TITLE_START

Query = dict[str, Any]

# The same worth as in the embedded engine, so that both give one order: a score depends on book and query alone.
_BOOSTS = {
    "title": ("title", 3.0),
    "author": ("authors", 2.0),
    "category": ("category_text", 1.0),
    "description": ("description", 1.0),
}
_WITH_TYPOS = 0.5
_WHOLE_TITLE, _START_OF_TITLE, _TITLE_PHRASE = 16.0, 4.0, 2.0
LIVING: Query = {"term": {"removed": False}}


def allowed_typos(word: str) -> int:
    """As Elasticsearch's `AUTO:4,8`."""
    return 0 if len(word) < 4 else 1 if len(word) < 8 else 2


def selected(selection: Selection, *more: Query) -> Query:
    """Which books, and only those that are in the catalog. Without scores."""
    text = [] if selection.text is None else [text_query(selection.text)]
    return {"bool": {"filter": [LIVING, *text, *map(filter_query, selection.filters), *more]}}


def scored(selection: Selection) -> Query:
    """The same books, scored by where the words are. The selection must have a text."""
    assert selection.text is not None
    query = text_query(selection.text, scored=True)
    query["bool"]["filter"] = [LIVING, *map(filter_query, selection.filters)]
    return {
        "function_score": {
            "query": query,
            "functions": [{"field_value_factor": {"field": "weight"}}],
            "boost_mode": "multiply",
        }
    }


def filter_query(wanted: Filter) -> Query:
    kind = FIELDS[wanted.name]
    if kind is FieldKind.TERM:
        return {"terms": {wanted.name: list(wanted.values)}}
    if kind is FieldKind.BOOLEAN:
        return {"terms": {wanted.name: [value == "true" for value in wanted.values]}}
    return any_of([_range(wanted.name, each) for each in wanted.ranges])


def text_query(text: TextQuery, *, scored: bool = False) -> Query:
    if not text.required and not text.excluded:
        return {"bool": {"must": [{"match_none": {}}]}}
    query: Query = {
        "must": [_best(clause) if scored else any_of(_ways(clause)) for clause in text.required],
        "must_not": [any_of(_ways(clause)) for clause in text.excluded],
    }
    if scored and text.whole:
        query["should"] = list(_title_bonus(text.whole))
    if not text.required:
        query["must"] = [_worth(0.0, {"match_all": {}})]
    return {"bool": query}


def any_of(queries: Sequence[Query]) -> Query:
    return queries[0] if len(queries) == 1 else {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _worth(score: float, query: Query) -> Query:
    return {"constant_score": {"filter": query, "boost": score}}


def _best(clause: Clause) -> Query:
    return {"dis_max": {"queries": [_worth(score, query) for query, score in _scored_ways(clause)]}}


def _ways(clause: Clause) -> list[Query]:
    return [query for query, _ in _scored_ways(clause)]


def _scored_ways(clause: Clause) -> Iterator[tuple[Query, float]]:
    """Each way in which the clause may match, with what it is worth."""
    fields = _BOOSTS.values() if clause.name is None else [_BOOSTS[clause.name]]
    for field, boost in fields:
        yield _words(field, clause.words), boost
    typos = 0 if clause.exact or len(clause.words) > 1 else allowed_typos(clause.words[0])
    if typos:
        field = TYPOS if clause.name is None else _BOOSTS[clause.name][0]
        # rewritten to all words that are near: the default takes 50 of them, which depend on the other books
        wanted = {"value": clause.words[0], "fuzziness": typos, "rewrite": "constant_score"}
        yield {"fuzzy": {field: wanted}}, _WITH_TYPOS


def _words(field: str, words: Sequence[str]) -> Query:
    if len(words) == 1:
        return {"term": {field: words[0]}}
    return {"match_phrase": {field: " ".join(words)}}


def _title_bonus(words: Sequence[str]) -> Iterator[Query]:
    """What is called exactly so comes first, then what starts so, then what contains it in this order."""
    yield _worth(_WHOLE_TITLE, {"term": {"title_exact": " ".join(words)}})
    yield _worth(_START_OF_TITLE, _words("title", [TITLE_START, *words]))
    if len(words) > 1:
        yield _worth(_TITLE_PHRASE, _words("title", words))


def _range(name: str, wanted: Range) -> Query:
    low, high = range_units(name, wanted)
    limits = {"gte": low, "lte": high}
    return {"range": {name: {limit: units for limit, units in limits.items() if units is not None}}}

"""Compile queries to the query DSL of Elasticsearch. Pure."""

from collections.abc import Iterator, Sequence
from typing import Any

from bookwheel_stores.search import scoring
from bookwheel_stores.search.elasticsearch.mapping import TYPO_FIELD
from bookwheel_stores.search.fields import FIELD_KINDS, TEXT_FIELDS, TITLE_START, FieldKind, range_units
from bookwheel_stores.search.queries import Clause, Filter, Range, SearchCriteria, TextQuery

Query = dict[str, Any]

NOT_REMOVED: Query = {"term": {"removed": False}}


def compile_criteria(criteria: SearchCriteria) -> Query:
    """Compile search criteria without scores. Removed books never match."""
    text = [] if criteria.text is None else [_text(criteria.text)]
    return {"bool": {"filter": [NOT_REMOVED, *text, *map(compile_filter, criteria.filters)]}}


def compile_scored(criteria: SearchCriteria) -> Query:
    """Compile search criteria with scores. They must have a text query."""
    assert criteria.text is not None
    query = _text(criteria.text, scored=True)
    query["bool"]["filter"] = [NOT_REMOVED, *map(compile_filter, criteria.filters)]
    return {
        "function_score": {
            "query": query,
            "functions": [{"field_value_factor": {"field": "weight"}}],
            "boost_mode": "multiply",
        }
    }


def compile_filter(item: Filter) -> Query:
    kind = FIELD_KINDS[item.name]
    if kind is FieldKind.TERM:
        return {"terms": {item.name: list(item.values)}}
    if kind is FieldKind.BOOLEAN:
        return {"terms": {item.name: [value == "true" for value in item.values]}}
    return _any_of([_range(item.name, bounds) for bounds in item.ranges])


def _range(name: str, bounds: Range) -> Query:
    low, high = range_units(name, bounds)
    limits = {"gte": low, "lte": high}
    return {"range": {name: {limit: units for limit, units in limits.items() if units is not None}}}


def _text(text: TextQuery, *, scored: bool = False) -> Query:
    if not text.required and not text.excluded:
        return {"bool": {"must": [{"match_none": {}}]}}
    query: Query = {
        "must": [_best_match(clause) if scored else _any_match(clause) for clause in text.required],
        "must_not": [_any_match(clause) for clause in text.excluded],
    }
    if scored and text.words:
        query["should"] = list(_title_bonus(text.words))
    if not text.required:
        query["must"] = [_constant_score(0.0, {"match_all": {}})]
    return {"bool": query}


def _any_of(queries: Sequence[Query]) -> Query:
    return queries[0] if len(queries) == 1 else {"bool": {"should": list(queries), "minimum_should_match": 1}}


def _constant_score(score: float, query: Query) -> Query:
    return {"constant_score": {"filter": query, "boost": score}}


def _any_match(clause: Clause) -> Query:
    return _any_of([query for query, _ in _weighted_matches(clause)])


def _best_match(clause: Clause) -> Query:
    return {"dis_max": {"queries": [_constant_score(score, query) for query, score in _weighted_matches(clause)]}}


def _weighted_matches(clause: Clause) -> Iterator[tuple[Query, float]]:
    for field, weight in scoring.weighted_fields(clause.field):
        yield _words(field, clause.words), weight
    typos = scoring.clause_typos(clause)
    if typos:
        field = TYPO_FIELD if clause.field is None else TEXT_FIELDS[clause.field].index_name
        # The default rewrite uses only 50 similar words, and their choice depends on other books.
        options = {"value": clause.words[0], "fuzziness": typos, "rewrite": "constant_score"}
        yield {"fuzzy": {field: options}}, scoring.TYPO_WEIGHT


def _words(field: str, words: Sequence[str]) -> Query:
    if len(words) == 1:
        return {"term": {field: words[0]}}
    return {"match_phrase": {field: " ".join(words)}}


def _title_bonus(words: Sequence[str]) -> Iterator[Query]:
    yield _constant_score(scoring.EXACT_TITLE_WEIGHT, {"term": {"title_exact": " ".join(words)}})
    yield _constant_score(scoring.TITLE_START_WEIGHT, _words("title", [TITLE_START, *words]))
    if len(words) > 1:
        yield _constant_score(scoring.TITLE_PHRASE_WEIGHT, _words("title", words))

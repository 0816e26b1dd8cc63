"""The books of one request's text, found once however often the request then counts and orders them."""

import tantivy
from tantivy import Occur, Query

from bookwheel_stores.search.queries import Selection, TextQuery
from bookwheel_stores.search.tantivy_queries import QueryCompiler

_PINNED = 64
"""Up to so many matches are kept by number, at 2 µs each and pass.

Building the automaton of a word with two typos costs 300 µs, in each of up to five passes over a page's matches and
facets.
"""


class Matches:
    """Compiles the selections of one request on one commit of the index.

    `scores` are all matches of the text by number, or None where there is no text or it matches too many.
    """

    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler, text: TextQuery | None) -> None:
        self.searcher = searcher
        self.compiler = compiler
        self.scores: dict[int, float] | None = None
        self._text = None if text is None else compiler.text(text)
        if self._text is not None:
            self._pin(self._text)

    def query(self, selection: Selection) -> Query:
        """The selection, which has this request's text or none."""
        parts = [(Occur.Must, self.compiler.filter(each)) for each in selection.filters]
        if selection.text is not None and self._text is not None:
            parts.append((Occur.Must, self._text))
        return Query.boolean_query(parts) if parts else Query.all_query()

    def _pin(self, text: Query) -> None:
        hits = self.searcher.search(text, _PINNED, count=False, weight_by_field="weight").hits
        if len(hits) < _PINNED:
            numbers = self.numbers([address for _, address in hits])
            self.scores = {number: score for number, (score, _) in zip(numbers, hits, strict=True)}
            self._text = self.compiler.numbered(numbers)

    def numbers(self, addresses: list[tantivy.DocAddress]) -> list[int]:
        return [int(number or 0) for number in self.searcher.fast_field_values("number", addresses)]

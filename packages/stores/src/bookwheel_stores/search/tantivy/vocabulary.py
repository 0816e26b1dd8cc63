"""Which words of the index are meant by a word with typos."""

from functools import lru_cache

import tantivy
from rapidfuzz.distance import OSA
from rapidfuzz.process import extract

_KEPT_WORDS = 4096


class Vocabulary:
    """The words of one commit of the index, field by field, read when they are first needed."""

    def __init__(self, searcher: tantivy.Searcher) -> None:
        self._searcher = searcher
        self._words: dict[str, list[str]] = {}
        self.near = lru_cache(maxsize=_KEPT_WORDS)(self._near)

    def _near(self, field: str, word: str, typos: int) -> tuple[str, ...]:
        """The other words of `field` within so many letters added, lost, replaced, or swapped with their neighbour."""
        if field not in self._words:
            self._words[field] = [term for term, _ in self._searcher.terms_with_prefix(field, "")]
        found = extract(word, self._words[field], scorer=OSA.distance, score_cutoff=typos, limit=None)
        return tuple(term for term, _, _ in found if term != word)

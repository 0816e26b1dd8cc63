"""Completes what somebody is typing to titles, authors and categories that exist."""

import json
from collections.abc import Iterator, Sequence
from itertools import chain

import tantivy
from tantivy import Query

from bookwheel_stores.search.folding import folded, folded_words
from bookwheel_stores.search.queries import Suggestion, SuggestionKind
from bookwheel_stores.search.tantivy.facets import ordered_counts, terms_request
from bookwheel_stores.search.tantivy.queries import QueryCompiler, allowed_typos, count_of

_MAX_PREFIX = 64
_CANDIDATES = 50  # titles looked at for one completion; several books may share a title
_NAMES = 1_000


class Completer:
    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler) -> None:
        self._searcher = searcher
        self._compiler = compiler

    def complete(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        """What begins with the prefix comes before what has it at a later word, and that before what needs a typo."""
        text = " ".join(prefix)[:_MAX_PREFIX]
        if not text:
            return []
        found: dict[tuple[SuggestionKind, str], tuple[int, Suggestion]] = {}
        for typos in range(allowed_typos(text) + 1):
            for suggestion in chain.from_iterable(self._candidates(kind, text, typos) for kind in kinds):
                rank = 0 if folded(suggestion.text).startswith(text) else 1 + typos
                found.setdefault((suggestion.kind, suggestion.text), (rank, suggestion))
            if len(found) >= limit:
                break
        ordered = sorted(found.values(), key=lambda each: (each[0], -each[1].count, len(each[1].text), each[1].text))
        return [suggestion for _, suggestion in ordered[:limit]]

    def _candidates(self, kind: SuggestionKind, text: str, typos: int) -> Iterator[Suggestion]:
        query = self._compiler.completion(f"suggest_{kind}", text, typos=typos)
        if kind is SuggestionKind.TITLE:
            yield from self._titles(query)
        else:
            answer = self._searcher.aggregate(query, {"names": terms_request(kind, size=_NAMES)})
            for each in ordered_counts(kind, answer["names"]):
                # a book's other authors are counted with the one who matches
                if completes(text, folded_words(each.value), typos):
                    yield Suggestion(kind, each.value, each.count)

    def _titles(self, query: Query) -> Iterator[Suggestion]:
        hits = self._searcher.search(query, _CANDIDATES, count=False, weight_by_field="weight").hits
        bodies = (self._searcher.doc(address).get_first("body") for _, address in hits)
        for title in dict.fromkeys(str(json.loads(bytes(body))["title"]) for body in bodies if body is not None):
            same = self._searcher.search(self._compiler.term("title_exact", folded(title)), 1)
            yield Suggestion(SuggestionKind.TITLE, title, count_of(same))


def completes(prefix: str, words: Sequence[str], typos: int) -> bool:
    """Whether the prefix is the beginning of the words from any of them on, with at most `typos` edits."""
    return any(_edits_to_prefix(prefix, " ".join(words[start:])) <= typos for start in range(len(words)))


def _edits_to_prefix(prefix: str, text: str) -> int:
    """Least number of insertions, deletions, replacements and swaps of neighbours that make `prefix` begin `text`."""
    text = text[: len(prefix) + 2]
    before: list[int] = []
    row = list(range(len(text) + 1))
    for i, wanted in enumerate(prefix, start=1):
        following = [i]
        for j, given in enumerate(text, start=1):
            edits = min(row[j] + 1, following[j - 1] + 1, row[j - 1] + (wanted != given))
            if i > 1 and j > 1 and wanted == text[j - 2] and prefix[i - 2] == given:
                edits = min(edits, before[j - 2] + 1)
            following.append(edits)
        before, row = row, following
    return min(row)

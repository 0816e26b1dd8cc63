"""Rank completions of titles, authors and categories, for both engines."""

from collections.abc import Callable, Iterable, Sequence

from bookwheel_stores.search.queries import Suggestion, SuggestionKind
from bookwheel_stores.search.scoring import allowed_typos
from bookwheel_stores.search.text import fold

TITLE_CANDIDATES = 50
"""The number of books read per completion of titles. Several books may have the same title."""
NAME_CANDIDATES = 1_000
_MAX_PREFIX = 64


def complete(
    prefix: Sequence[str], *, limit: int, candidates: Callable[[str, int], Iterable[Suggestion]]
) -> list[Suggestion]:
    """Rank completions: names that begin with the prefix, then names with a later matching word, then typos.

    `candidates` returns the completions of a text with a number of typos.
    """
    text = " ".join(prefix)[:_MAX_PREFIX]
    if not text:
        return []
    ranked: dict[tuple[SuggestionKind, str], tuple[int, Suggestion]] = {}
    for typos in range(allowed_typos(text) + 1):
        for suggestion in candidates(text, typos):
            rank = 0 if fold(suggestion.text).startswith(text) else 1 + typos
            ranked.setdefault((suggestion.kind, suggestion.text), (rank, suggestion))
        if len(ranked) >= limit:
            break
    ordered = sorted(ranked.values(), key=lambda item: (item[0], -item[1].count, len(item[1].text), item[1].text))
    return [suggestion for _, suggestion in ordered[:limit]]


def matches_prefix(prefix: str, words: Sequence[str], typos: int) -> bool:
    """Return whether the text from one of the words begins with the prefix, with at most `typos` edits."""
    return any(_prefix_distance(prefix, " ".join(words[start:])) <= typos for start in range(len(words)))


def _prefix_distance(prefix: str, text: str) -> int:
    """Return the optimal string alignment distance of `prefix` to the most similar prefix of `text`."""
    text = text[: len(prefix) + 2]
    previous: list[int] = []
    row = list(range(len(text) + 1))
    for i, left in enumerate(prefix, start=1):
        next_row = [i]
        for j, right in enumerate(text, start=1):
            edits = min(row[j] + 1, next_row[j - 1] + 1, row[j - 1] + (left != right))
            if i > 1 and j > 1 and left == text[j - 2] and prefix[i - 2] == right:
                edits = min(edits, previous[j - 2] + 1)
            next_row.append(edits)
        previous, row = row, next_row
    return min(row)

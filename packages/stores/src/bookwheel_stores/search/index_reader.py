"""The port through which the catalogue is searched."""

from collections.abc import Sequence
from typing import Protocol

from bookwheel_stores.search.queries import (
    SearchPage,
    SearchQuery,
    Selection,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)


class IndexReader(Protocol):
    """Reads one commit of the index until `reload`; an index that does not exist yet is empty."""

    def reload(self) -> None:
        """From here on every search sees the latest commit."""
        ...

    def search(self, query: SearchQuery) -> SearchPage: ...

    def count(self, selection: Selection) -> int: ...

    def numbers(self, selection: Selection, *, limit: int) -> list[int]:
        """The numbers of the selected books, in no order; at most `limit`."""
        ...

    def terms(self, selection: Selection, name: str, *, limit: int) -> list[TermCount]:
        """The values of a term field with their counts of books: most frequent first, then by value."""
        ...

    def distinct(self, selection: Selection, name: str) -> int:
        """How many values of a term field there are; an estimate beyond some ten thousand."""
        ...

    def statistics(self, selection: Selection) -> Statistics: ...

    def statistics_by_category(self, selection: Selection) -> list[Statistics]:
        """By category, ascending; books without one are in none."""
        ...

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        """Completions of folded words with typos allowed: exact beginnings first, then by count and text."""
        ...

"""The port through which the catalog is searched."""

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
    """Reads the commit that was the latest at `reload`, or a later one; an index that does not exist yet is empty.

    Every method may raise IndexAway or IndexRefused where the index is a server's.
    """

    @property
    def blocks(self) -> bool:
        """Whether a call waits for a server: such calls are not made in an event loop."""
        ...

    def reload(self) -> None:
        """From here on every search sees the latest commit."""
        ...

    def check(self) -> None:
        """Does nothing where the index answers."""
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

    def statistics_by_category(self, selection: Selection, *, limit: int) -> list[Statistics]:
        """Of the `limit` categories with most books, by category ascending; books without one are in none."""
        ...

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        """Completions of folded words with typos allowed: exact beginnings first, then by count and text."""
        ...

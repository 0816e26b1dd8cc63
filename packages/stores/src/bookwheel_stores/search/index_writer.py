"""The port through which the projection fills the search index."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from bookwheel_contracts import BookState


class SearchError(Exception):
    """Base of what can go wrong with the index."""


class IndexBusy(SearchError):
    """Another writer holds the index: its holder will project what this one would have."""


class IndexWriter(Protocol):
    """One writer at a time, over all processes. Also a context manager that closes it."""

    def apply(self, books: Sequence[BookState]) -> None:
        """Puts books in place and deletes those that are removed, in one commit.

        Readers see it from their next reload on. Idempotent; a book whose indexed revision is newer stays as it is. Of
        several states of one book the newest counts.
        """
        ...

    def clear(self) -> None:
        """Removes every book, in one commit."""
        ...

    def count(self) -> int:
        """Books in the index, as of the last commit."""
        ...

    def close(self) -> None:
        """Gives the index free for other writers."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

"""The port through which the projection fills the search index."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import RangeSum


class SearchError(Exception):
    """Base of what can go wrong with the index."""


class IndexBusyError(SearchError):
    """Another writer holds the index: its holder will project what this one would have."""


class IndexUnavailableError(SearchError):
    """The index does not answer or has no time: the same request may succeed later."""


class IndexRejectedError(SearchError):
    """The index refuses all that is asked: an operator has to see to its rights, its disk or its being there."""


class RejectedBook(NamedTuple):
    """A book that the index can never take as it is."""

    book: BookState
    reason: str


class IndexContents(Protocol):
    """What can be written to an index, and be asked of it in order to compare it with the records."""

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Puts books in place and deletes those that are removed, in one commit; returns those it can never take.

        Without `commit` readers may see it only with the next commit; until then it is lost if this writer ends.

        Readers see it from their next reload on. Idempotent; a book whose indexed revision is newer stays as it is. Of
        several states of one book the newest counts. Raises IndexAway or IndexRefused where not all books are
        accounted for: then the same may be applied again.
        """
        ...

    def count(self) -> int:
        """Books in the index, as of the last commit."""
        ...

    def sums(self) -> dict[int, RangeSum]:
        """By range of book numbers, see `digests.RANGE`; ranges without a book are left out."""
        ...

    def digests(self, numbers: range) -> dict[int, int]:
        """The digests of the books with these numbers, by number."""
        ...


class IndexWriter(IndexContents, Protocol):
    """One writer at a time over all processes where the engine needs it; a context manager that closes it."""

    def clear(self) -> None:
        """Removes every book, in one commit."""
        ...

    def close(self) -> None:
        """Gives the index free for other writers."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

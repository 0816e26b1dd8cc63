"""The ports of the search index: what an adapter implements, what it raises, and how its content is compared."""

from collections.abc import Sequence
from types import TracebackType
from typing import NamedTuple, Protocol, Self
from zlib import crc32

from bookwheel_contracts import BookState

from bookwheel_stores.search.queries import (
    SearchPage,
    SearchQuery,
    Selection,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)

RANGE_SIZE = 1_000
"""Book numbers from `n * RANGE_SIZE` on are in range `n`: few enough for a float to hold the sum of their digests."""


class SearchError(Exception):
    """Base class of the search index's errors."""


class IndexBusyError(SearchError):
    """Another writer holds the index's lock. Its holder projects the same changes."""


class IndexUnavailableError(SearchError):
    """The index timed out or is overloaded. The same request may succeed later."""


class IndexRejectedError(SearchError):
    """The index refuses every request: an operator must check its permissions, disk space and existence."""


class RejectedBook(NamedTuple):
    """A book that the index can never accept in this revision."""

    book: BookState
    reason: str


class RangeSum(NamedTuple):
    """The number of books in a range, and the sum of their digests."""

    books: int
    digests: int


def digest(book_id: str, revision: int) -> int:
    """A 32-bit checksum of a book's id and revision."""
    return crc32(b"%d %b" % (revision, book_id.encode()))


class IndexContents(Protocol):
    """An index to write to and to compare with the records."""

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Put books and delete removed ones in one commit. Returns the books that the index can never accept.

        Idempotent: of several states of a book the highest revision wins, in the index or in `books`. Readers see a
        commit after their next reload. Without `commit`, the books wait for the next commit and are lost if the writer
        ends before it. Raises IndexUnavailableError or IndexRejectedError if any book is unaccounted for; apply them
        again.
        """
        ...

    def count(self) -> int:
        """Count the committed books."""
        ...

    def range_sums(self) -> dict[int, RangeSum]:
        """Sums by range, see `RANGE_SIZE`. Ranges without books are left out."""
        ...

    def digests(self, numbers: range) -> dict[int, int]:
        """Digests by book number, of the books with these numbers."""
        ...


class IndexWriter(IndexContents, Protocol):
    """Writes to the serving index. A context manager that closes itself. Some engines allow one writer at a time."""

    def clear(self) -> None:
        """Delete every book in one commit."""
        ...

    def close(self) -> None:
        """Release the index for other writers."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class IndexBuild(IndexContents, Protocol):
    """A new, empty index that can replace the serving one. A context manager that closes itself."""

    def lock(self) -> None:
        """Keep other writers out of the serving index until `close`, if the engine allows one writer at a time.

        With other engines they continue: apply what they wrote to the old index again after `publish`. Raises
        IndexBusyError while another writer is open.
        """
        ...

    def publish(self) -> None:
        """Switch readers, after their next reload, and new writers to this index in one step."""
        ...

    def close(self) -> None:
        """Delete the old index, or this one if it was not published."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class IndexReader(Protocol):
    """Searches the latest commit as of `reload` or later. An index that does not exist yet is empty.

    With a server, every method may raise IndexUnavailableError or IndexRejectedError.
    """

    @property
    def is_blocking(self) -> bool:
        """Whether calls wait for a server, so that an event loop must run them in a thread."""
        ...

    def reload(self) -> None:
        """Make the latest commit visible to later searches."""
        ...

    def ping(self) -> None:
        """Return if the index responds."""
        ...

    def search(self, query: SearchQuery) -> SearchPage: ...

    def count(self, selection: Selection) -> int: ...

    def list_numbers(self, selection: Selection, *, limit: int) -> list[int]:
        """The numbers of at most `limit` selected books, in any order."""
        ...

    def count_terms(self, selection: Selection, name: str, *, limit: int) -> list[TermCount]:
        """The values of a term field with their numbers of books, by count descending and then by value."""
        ...

    def count_distinct(self, selection: Selection, name: str) -> int:
        """Count the values of a term field. An estimate beyond 30,000."""
        ...

    def statistics(self, selection: Selection) -> Statistics: ...

    def statistics_by_category(self, selection: Selection, *, limit: int) -> list[Statistics]:
        """Statistics of the `limit` largest categories, by name. Books without a category are left out."""
        ...

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        """Complete folded words, with typos: exact prefixes first, then by count and text."""
        ...

"""The ports of the search index: the interfaces of adapters, their errors, and the checksums of their content."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol, Self
from zlib import crc32

from bookwheel_contracts import BookState

from bookwheel_stores.search.queries import (
    SearchCriteria,
    SearchPage,
    SearchQuery,
    Statistics,
    Suggestion,
    SuggestionKind,
    TermCount,
)

RANGE_SIZE = 1_000
"""The number of book numbers per range. A float can represent the sum of their digests exactly."""


class SearchError(Exception):
    """Base class of the search index's errors."""


class IndexBusyError(SearchError):
    """Another writer holds the lock of the index."""


class IndexUnavailableError(SearchError):
    """The index timed out or is overloaded. The same request may succeed later."""


class IndexRejectedError(SearchError):
    """The index rejects every request. An operator must check its permissions, disk space and existence."""


class RejectedBook(NamedTuple):
    """A book whose revision the index rejects permanently."""

    book: BookState
    reason: str


class RangeSum(NamedTuple):
    """The number of books in a range, and the sum of their digests."""

    books: int
    digests: int


def digest(book_id: str, revision: int) -> int:
    """Return a 32-bit checksum of the id and revision of a book."""
    return crc32(b"%d %b" % (revision, book_id.encode()))


class WritableIndex(Protocol):
    """An index that can be written and compared with the records. The context manager closes it."""

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Put books and delete removed ones in one commit. Return the rejected books.

        Idempotent, because the highest revision of a book wins. Readers see a commit after their next reload. Without
        `commit`, the books are part of the next commit and are lost if the writer ends before it. After
        IndexUnavailableError or IndexRejectedError, apply all books again.
        """

    def count(self) -> int:
        """Count the committed books."""

    def range_sums(self) -> dict[int, RangeSum]:
        """Return the sums by range, without empty ranges. Book number `n` is in the range `n // RANGE_SIZE`."""

    def digests(self, numbers: range) -> dict[int, int]:
        """Return the digests of the books with these numbers, by book number."""

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class IndexWriter(WritableIndex, Protocol):
    """Writes to the serving index. Some engines allow only one writer."""

    def clear(self) -> None:
        """Delete every book in one commit."""

    def close(self) -> None:
        """Release the index for other writers."""


class IndexBuild(WritableIndex, Protocol):
    """A new, empty index that can replace the serving index."""

    def lock(self) -> None:
        """Lock the serving index until `close`, if the engine allows only one writer.

        With other engines, writers continue. Apply their changes again after `publish`. Raises IndexBusyError while
        another writer is open.
        """

    def publish(self) -> None:
        """Switch to this index atomically. Readers use it after their next reload, writers when they are opened."""

    def close(self) -> None:
        """Delete the old index, or this one if it was not published."""


class IndexReader(Protocol):
    """Searches the latest commit as of `reload` or later. A missing index is empty.

    If the engine is a server, every method may raise IndexUnavailableError or IndexRejectedError.
    """

    @property
    def is_blocking(self) -> bool:
        """Whether calls block on a server, so that an event loop must run them in a thread."""

    def reload(self) -> None:
        """Make the latest commit visible to later searches."""

    def ping(self) -> None:
        """Raise an error if the index does not respond."""

    def search(self, query: SearchQuery) -> SearchPage: ...

    def count(self, criteria: SearchCriteria) -> int: ...

    def list_numbers(self, criteria: SearchCriteria, *, limit: int) -> list[int]:
        """Return the numbers of at most `limit` selected books, in any order."""

    def count_terms(self, criteria: SearchCriteria, name: str, *, limit: int) -> list[TermCount]:
        """Return the values of a term field with their number of books, by descending count and then by value."""

    def count_distinct(self, criteria: SearchCriteria, name: str) -> int:
        """Count the values of a term field. The result is an estimate above 30,000."""

    def statistics(self, criteria: SearchCriteria) -> Statistics: ...

    def statistics_by_category(self, criteria: SearchCriteria, *, limit: int) -> list[Statistics]:
        """Return statistics of the `limit` largest categories, by name, without books that have no category."""

    def suggest(self, prefix: Sequence[str], kinds: Sequence[SuggestionKind], *, limit: int) -> list[Suggestion]:
        """Complete folded words, also with typos. Order: exact prefixes first, then by count and text."""

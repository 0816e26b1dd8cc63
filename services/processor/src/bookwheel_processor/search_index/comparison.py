"""Compares the search index with the records by digests of book id and revision, range by range."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bookwheel_contracts import BookState
from bookwheel_stores.records import ChangeFeed
from bookwheel_stores.search import RANGE_SIZE, RangeSum, WritableIndex, digest

_PAGE_SIZE = 10_000
_LATEST = (1 << 62) - 1


@dataclass(frozen=True, slots=True)
class IndexDifference:
    """`books`: the number of books in the records. `differing`: the numbers of books that are missing from the index,
    are only in the index, or have another revision there."""

    books: int
    differing: tuple[int, ...]


class IndexComparer:
    """Compares the sums of ranges, and the books of ranges whose sums differ."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed

    def compare(self, index: WritableIndex, *, up_to: int) -> IndexDifference:
        """Compare all books except those that changed after the sequence `up_to`. The index may not have them yet.

        The index is read before the records, so that it cannot be ahead of them.
        """
        indexed = index.range_sums()
        recorded = self._range_sums()
        ranges = sorted(
            number for number in indexed.keys() | recorded.keys() if indexed.get(number) != recorded.get(number)
        )
        differing = [book for number in ranges for book in self._differing_in_range(index, number)]
        books = sum(range_sum.books for range_sum in recorded.values())
        return IndexDifference(books, tuple(self._exclude_unsettled(differing, up_to)))

    def list_settled_books(self, numbers: Sequence[int], *, up_to: int) -> list[BookState]:
        """List the books with these numbers, except those that changed after the sequence `up_to`."""
        return [
            book
            for start in range(0, len(numbers), _PAGE_SIZE)
            for book in self._feed.list_books_at(numbers[start : start + _PAGE_SIZE], up_to=up_to)
        ]

    def _range_sums(self) -> dict[int, RangeSum]:
        books: dict[int, int] = defaultdict(int)
        digests: dict[int, int] = defaultdict(int)
        number = 0
        while page := self._feed.list_revisions(after_number=number, limit=_PAGE_SIZE):
            for number, book_id, revision in page:
                books[number // RANGE_SIZE] += 1
                digests[number // RANGE_SIZE] += digest(book_id, revision)
        return {range_number: RangeSum(count, digests[range_number]) for range_number, count in books.items()}

    def _differing_in_range(self, index: WritableIndex, range_number: int) -> list[int]:
        numbers = range(range_number * RANGE_SIZE, (range_number + 1) * RANGE_SIZE)
        indexed = index.digests(numbers)
        page = self._feed.list_revisions(after_number=numbers.start - 1, limit=RANGE_SIZE)
        recorded = {number: digest(book_id, revision) for number, book_id, revision in page if number in numbers}
        return sorted(
            number for number in indexed.keys() | recorded.keys() if indexed.get(number) != recorded.get(number)
        )

    def _exclude_unsettled(self, numbers: Sequence[int], up_to: int) -> list[int]:
        settled = {book.number for book in self.list_settled_books(numbers, up_to=up_to)}
        recorded = {book.number for book in self.list_settled_books(numbers, up_to=_LATEST)}
        only_in_index = set(numbers) - recorded
        return [number for number in numbers if number in settled or number in only_in_index]

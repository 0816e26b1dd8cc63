"""Compares the index with the records by content: digests of id and revision, range by range."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from bookwheel_contracts import BookState
from bookwheel_stores.records import ChangeFeed
from bookwheel_stores.search import RANGE, IndexContents, RangeSum, digest

_PAGE = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    """`differing` are the numbers of books that the index lacks, has too many, or has at another revision."""

    books: int
    differing: tuple[int, ...]


class IndexComparer:
    """Reads ranges whose sums differ once more, book by book. What is on its way into the index does not differ."""

    def __init__(self, feed: ChangeFeed) -> None:
        self._feed = feed

    def compare(self, index: IndexContents, *, up_to: int) -> Comparison:
        """`up_to` is the sequence whose changes the index must hold: later ones are passed over.

        The index is read before the records, so that it is never ahead of them unless something is wrong.
        """
        indexed = index.sums()
        recorded = self._sums()
        suspects = sorted(
            place for place in indexed.keys() | recorded.keys() if indexed.get(place) != recorded.get(place)
        )
        differing = [number for place in suspects for number in self._differing(index, place)]
        settled = self._settled(differing, up_to)
        return Comparison(sum(each.books for each in recorded.values()), tuple(settled))

    def settled_books(self, numbers: Sequence[int], *, up_to: int) -> list[BookState]:
        """These books as they are, without those whose latest change is later; unknown ones are left out."""
        return [
            book
            for start in range(0, len(numbers), _PAGE)
            for book in self._feed.list_books_at(numbers[start : start + _PAGE], up_to=up_to)
        ]

    def _sums(self) -> dict[int, RangeSum]:
        books: dict[int, int] = defaultdict(int)
        digests: dict[int, int] = defaultdict(int)
        number = 0
        while page := self._feed.list_revisions(after_number=number, limit=_PAGE):
            for number, book_id, revision in page:
                books[number // RANGE] += 1
                digests[number // RANGE] += digest(book_id, revision)
        return {place: RangeSum(count, digests[place]) for place, count in books.items()}

    def _differing(self, index: IndexContents, place: int) -> list[int]:
        numbers = range(place * RANGE, (place + 1) * RANGE)
        indexed = index.digests(numbers)
        page = self._feed.list_revisions(after_number=numbers.start - 1, limit=RANGE)
        recorded = {number: digest(book_id, revision) for number, book_id, revision in page if number in numbers}
        return sorted(
            number for number in indexed.keys() | recorded.keys() if indexed.get(number) != recorded.get(number)
        )

    def _settled(self, differing: Sequence[int], up_to: int) -> list[int]:
        settled = {book.number for book in self.settled_books(differing, up_to=up_to)}
        known = self._known(differing)
        return [number for number in differing if number in settled or number not in known]

    def _known(self, numbers: Sequence[int]) -> set[int]:
        """Which of these the records know at all, removed ones among them."""
        return {book.number for book in self.settled_books(numbers, up_to=_ANY)}


_ANY = (1 << 62) - 1

"""The rated books of the records as a data set, split once and for all."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
from bookwheel_contracts import Book
from bookwheel_stores.records import BookReader

from bookwheel_ml.features import BookFacts

HELD_OUT_SHARE = 0.2
_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Dataset:
    """Parallel columns; `ratings` (float64) has the shape (books,)."""

    book_ids: tuple[str, ...]
    facts: tuple[BookFacts, ...]
    ratings: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.book_ids)

    def fingerprint(self) -> str:
        """SHA-256 hex of every id, fact and rating: equal where a model would be trained on the same data."""
        digest = hashlib.sha256()
        for book_id, facts, rating in zip(self.book_ids, self.facts, self.ratings.tolist(), strict=True):
            row = [
                *(book_id, facts.category, facts.description, facts.price and str(facts.price.normalize())),
                *(facts.currency, facts.stock, rating),
            ]
            digest.update(orjson.dumps(row))
        return digest.hexdigest()


def is_held_out(book: Book) -> bool:
    """Whether a book is kept from training, by a hash of its title.

    By the title, not the id: one work offered by two shops may have two ids, and would be learned by heart if its
    copies fell on both sides. It never depends on the other books, so no model was ever trained on a held-out one.
    """
    title = " ".join(book.title.casefold().split())
    draw = int.from_bytes(hashlib.sha256(title.encode("utf-8", "surrogatepass")).digest()[:4])
    return draw < HELD_OUT_SHARE * 2**32


def rated_books(books: BookReader, *, after_number: int = 0, page: int = _PAGE) -> Iterator[Book]:
    """Living books with a rating, by number ascending."""
    while found := books.page(after_number=after_number, limit=page):
        yield from (book for book in found if book.rating is not None)
        after_number = found[-1].number


def _dataset(books: list[Book]) -> Dataset:
    return Dataset(
        book_ids=tuple(book.id for book in books),
        facts=tuple(BookFacts.of(book) for book in books),
        ratings=np.array([book.rating for book in books], dtype=np.float64),
    )


def read_datasets(books: BookReader) -> tuple[Dataset, Dataset]:
    """(training, held out)."""
    sides: tuple[list[Book], list[Book]] = ([], [])
    for book in rated_books(books):
        sides[is_held_out(book)].append(book)
    return _dataset(sides[0]), _dataset(sides[1])

"""Reads the rated books of the records and splits them into training and held-out books."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import orjson
from bookwheel_contracts import Book
from bookwheel_stores.records import BookReader

from bookwheel_ml.model.features import BookFeatures

HELD_OUT_SHARE = 0.2
_PAGE_SIZE = 1_000


@dataclass(frozen=True, slots=True)
class Dataset:
    """Rated books as parallel columns. `ratings` has shape (books,)."""

    book_ids: tuple[str, ...]
    features: tuple[BookFeatures, ...]
    ratings: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.book_ids)

    def fingerprint(self) -> str:
        """Returns the SHA-256 hex digest of all ids, fields and ratings."""
        digest = hashlib.sha256()
        for book_id, book, rating in zip(self.book_ids, self.features, self.ratings.tolist(), strict=True):
            price = book.price and str(book.price.normalize())
            row = [book_id, book.category, book.description, price, book.currency, book.stock, rating]
            digest.update(orjson.dumps(row))
        return digest.hexdigest()


def is_held_out(book: Book) -> bool:
    """Returns True if the book is held out from training, by a hash of its title.

    Two shops may offer the same work under different ids. With a split by id, a model could memorize the copy of a
    held-out book. The split does not depend on other books, so it is the same for every model.
    """
    title = " ".join(book.title.casefold().split())
    hash_value = int.from_bytes(hashlib.sha256(title.encode("utf-8", "surrogatepass")).digest()[:4])
    return hash_value < HELD_OUT_SHARE * 2**32


def read_rated_books(books: BookReader, *, after_number: int = 0, page_size: int = _PAGE_SIZE) -> Iterator[Book]:
    """Yields the rated books, by ascending number."""
    while rows := books.page(after_number=after_number, limit=page_size):
        yield from (book for book in rows if book.rating is not None)
        after_number = rows[-1].number


def _create_dataset(books: list[Book]) -> Dataset:
    return Dataset(
        book_ids=tuple(book.id for book in books),
        features=tuple(BookFeatures.from_book(book) for book in books),
        ratings=np.array([book.rating for book in books], dtype=np.float64),
    )


def read_datasets(books: BookReader) -> tuple[Dataset, Dataset]:
    """Returns the training and the held-out books."""
    splits: tuple[list[Book], list[Book]] = ([], [])
    for book in read_rated_books(books):
        splits[is_held_out(book)].append(book)
    return _create_dataset(splits[0]), _create_dataset(splits[1])

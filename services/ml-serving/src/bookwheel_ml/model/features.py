"""The features of a book. Training and serving compute the matrix with the same pure function."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt
from bookwheel_contracts import Book
from pydantic import BaseModel, ConfigDict

FloatMatrix = npt.NDArray[np.float32]

_WORD = re.compile(r"[^\W\d_]{3,}")
_MISSING = -1.0  # outside the range of every numeric feature, so a tree can separate it
_SCALARS = ("price", "price_known", "stock", "stock_known", "description_words")
_MIN_SHARE = 0.005  # of the training rows: rarer categories, currencies and words get no feature
_MIN_ROWS = 5
_MAX_WORD_SHARE = 0.9
_MAX_WORDS = 64
_MIN_Z_SCORE = 3.0  # one or two of 500 words without any effect exceed it


@dataclass(frozen=True, slots=True)
class BookFeatures:
    """The fields of a book that features are computed from. None means unknown."""

    category: str | None = None
    description: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    stock: int | None = None

    @classmethod
    def from_book(cls, book: Book) -> "BookFeatures":
        return cls(
            category=book.category,
            description=book.description,
            price=book.price.amount if book.price else None,
            currency=book.price.currency if book.price else None,
            stock=book.stock,
        )


def words_of(text: str) -> list[str]:
    """Returns the words of three letters or more, case-folded and NFKC-normalized."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class FeatureSpec(BaseModel):
    """The feature columns, learned from the training rows and stored as JSON with the model.

    The columns are the scalars, then one indicator for each of `currencies`, `categories` and `words`. A missing price
    or stock is -1, and its `_known` indicator is 0. Categories that are rare in the training rows have no indicator.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    currencies: tuple[str, ...]
    categories: tuple[str, ...]
    words: tuple[str, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        return (
            *_SCALARS,
            *(f"currency={name}" for name in self.currencies),
            *(f"category={name}" for name in self.categories),
            *(f"word={name}" for name in self.words),
        )

    @cached_property
    def _columns(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        start = len(_SCALARS)
        columns = []
        for names in (self.currencies, self.categories, self.words):
            columns.append({name: start + position for position, name in enumerate(names)})
            start += len(names)
        return columns[0], columns[1], columns[2]

    def matrix(self, books: Sequence[BookFeatures]) -> FloatMatrix:
        """Returns a float32 matrix of shape (books, names) with finite values only."""
        currencies, categories, words = self._columns
        matrix = np.zeros((len(books), len(self.names)), dtype=np.float32)
        for row, book in zip(matrix, books, strict=True):
            row[0:4] = (
                _MISSING if book.price is None else float(book.price),
                book.price is not None,
                _MISSING if book.stock is None else float(book.stock),
                book.stock is not None,
            )
            present = []
            if book.description:
                description_words = words_of(book.description)
                row[4] = len(description_words)
                present = [words[word] for word in description_words if word in words]
            if book.currency in currencies:
                present.append(currencies[book.currency])
            if book.category in categories:
                present.append(categories[book.category])
            row[present] = 1
        return matrix


def _frequent(values: Sequence[str | None]) -> tuple[str, ...]:
    min_count = max(_MIN_ROWS, int(len(values) * _MIN_SHARE))
    counts = Counter(value for value in values if value is not None)
    return tuple(sorted(value for value, count in counts.items() if count >= min_count))


def _predictive_words(books: Sequence[BookFeatures], ratings: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """Selects words whose books have a different mean rating, by the z-score of the difference."""
    counts: dict[str, int] = defaultdict(int)
    sums: dict[str, float] = defaultdict(float)
    for book, rating in zip(books, ratings.tolist(), strict=True):
        for word in set(words_of(book.description or "")):
            counts[word] += 1
            sums[word] += rating
    total, all_ratings, deviation = len(books), float(ratings.sum()), float(ratings.std())
    min_count, max_count = max(_MIN_ROWS, int(total * _MIN_SHARE)), total * _MAX_WORD_SHARE
    scores: dict[str, float] = {}
    for word, count in counts.items():
        if min_count <= count <= max_count and deviation > 0:
            difference = sums[word] / count - (all_ratings - sums[word]) / (total - count)
            scores[word] = abs(difference) / (deviation * (1 / count + 1 / (total - count)) ** 0.5)
    ranked = sorted((word for word in scores if scores[word] >= _MIN_Z_SCORE), key=lambda word: (-scores[word], word))
    return tuple(sorted(ranked[:_MAX_WORDS]))


def learn_features(books: Sequence[BookFeatures], ratings: npt.NDArray[np.float64]) -> FeatureSpec:
    """Learns the categories, currencies and words of the training rows. `ratings` has shape (books,)."""
    currencies = _frequent([book.currency for book in books])
    return FeatureSpec(
        currencies=currencies if len(currencies) > 1 else (),
        categories=_frequent([book.category for book in books]),
        words=_predictive_words(books, ratings),
    )

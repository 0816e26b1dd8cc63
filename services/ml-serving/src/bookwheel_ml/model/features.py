"""Computes the feature matrix of books. Training and serving use the same pure function."""

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

_WORD_PATTERN = re.compile(r"[^\W\d_]{3,}")
_MISSING_VALUE = -1.0  # outside the range of every numeric feature, so a tree can separate it
_SCALAR_NAMES = ("price", "price_known", "stock", "stock_known", "description_words")
_MIN_ROW_SHARE = 0.005  # rarer categories, currencies and words get no feature
_MIN_ROWS = 5
_MAX_WORD_ROW_SHARE = 0.9
_MAX_WORDS = 64
_MIN_Z_SCORE = 3.0  # about 1 in 370 words without an effect exceeds it by chance


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


def tokenize(text: str) -> list[str]:
    """Returns the words of three letters or more, case-folded and NFKC-normalized."""
    return _WORD_PATTERN.findall(unicodedata.normalize("NFKC", text).casefold())


class FeatureSpec(BaseModel):
    """The definition of the feature columns. It is fitted to the training rows and stored as JSON with the model.

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
            *_SCALAR_NAMES,
            *(f"currency={name}" for name in self.currencies),
            *(f"category={name}" for name in self.categories),
            *(f"word={name}" for name in self.words),
        )

    @cached_property
    def _column_maps(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        first_column = len(_SCALAR_NAMES)
        column_maps = []
        for names in (self.currencies, self.categories, self.words):
            column_maps.append({name: first_column + position for position, name in enumerate(names)})
            first_column += len(names)
        return column_maps[0], column_maps[1], column_maps[2]

    def build_matrix(self, books: Sequence[BookFeatures]) -> FloatMatrix:
        """Returns a float32 matrix of shape (books, names) with finite values only."""
        currency_columns, category_columns, word_columns = self._column_maps
        matrix = np.zeros((len(books), len(self.names)), dtype=np.float32)
        for row, book in zip(matrix, books, strict=True):
            row[0:4] = (
                _MISSING_VALUE if book.price is None else float(book.price),
                book.price is not None,
                _MISSING_VALUE if book.stock is None else float(book.stock),
                book.stock is not None,
            )
            active_columns = []
            if book.description:
                description_words = tokenize(book.description)
                row[4] = len(description_words)
                active_columns = [word_columns[word] for word in description_words if word in word_columns]
            if book.currency in currency_columns:
                active_columns.append(currency_columns[book.currency])
            if book.category in category_columns:
                active_columns.append(category_columns[book.category])
            row[active_columns] = 1
        return matrix


def _select_frequent(values: Sequence[str | None]) -> tuple[str, ...]:
    """Returns the values that enough rows have, sorted."""
    min_count = max(_MIN_ROWS, int(len(values) * _MIN_ROW_SHARE))
    counts = Counter(value for value in values if value is not None)
    return tuple(sorted(value for value, count in counts.items() if count >= min_count))


def _select_predictive_words(books: Sequence[BookFeatures], ratings: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """Returns the words that change the mean rating most, by the z-score of the difference, sorted."""
    word_counts: dict[str, int] = defaultdict(int)
    word_rating_sums: dict[str, float] = defaultdict(float)
    for book, rating in zip(books, ratings.tolist(), strict=True):
        for word in set(tokenize(book.description or "")):
            word_counts[word] += 1
            word_rating_sums[word] += rating
    row_count, rating_sum, rating_std = len(books), float(ratings.sum()), float(ratings.std())
    min_count, max_count = max(_MIN_ROWS, int(row_count * _MIN_ROW_SHARE)), row_count * _MAX_WORD_ROW_SHARE
    scores: dict[str, float] = {}
    for word, count in word_counts.items():
        if min_count <= count <= max_count and rating_std > 0:
            difference = word_rating_sums[word] / count - (rating_sum - word_rating_sums[word]) / (row_count - count)
            scores[word] = abs(difference) / (rating_std * (1 / count + 1 / (row_count - count)) ** 0.5)
    ranked = sorted((word for word in scores if scores[word] >= _MIN_Z_SCORE), key=lambda word: (-scores[word], word))
    return tuple(sorted(ranked[:_MAX_WORDS]))


def fit_feature_spec(books: Sequence[BookFeatures], ratings: npt.NDArray[np.float64]) -> FeatureSpec:
    """Selects the currencies, categories and words that become features. `ratings` has shape (books,)."""
    currencies = _select_frequent([book.currency for book in books])
    return FeatureSpec(
        currencies=currencies if len(currencies) > 1 else (),
        categories=_select_frequent([book.category for book in books]),
        words=_select_predictive_words(books, ratings),
    )

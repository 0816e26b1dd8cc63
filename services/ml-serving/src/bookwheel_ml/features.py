"""What a model sees of a book. One pure function makes the matrix for training and for serving alike."""

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
_MISSING = -1.0  # outside the range of every numeric feature, so that a tree can split it off
_SCALARS = ("price", "price_known", "stock", "stock_known", "description_words")
_LEAST_SHARE = 0.005  # of the training rows: rarer categories, currencies and words are not told apart
_LEAST_ROWS = 5
_MOST_SHARE_OF_WORD = 0.9
_MOST_WORDS = 64
_LEAST_Z = 3.0  # among 500 words without any effect, one or two pass


@dataclass(frozen=True, slots=True)
class BookFacts:
    """The facts of a book that features may be made of. None: not known."""

    category: str | None = None
    description: str | None = None
    price: Decimal | None = None
    currency: str | None = None
    stock: int | None = None

    @classmethod
    def of(cls, book: Book) -> "BookFacts":
        return cls(
            category=book.category,
            description=book.description,
            price=book.price.amount if book.price else None,
            currency=book.price.currency if book.price else None,
            stock=book.stock,
        )


def words_of(text: str) -> list[str]:
    """Words of three letters or more, in lower case and compatibility form."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


class FeatureSpec(BaseModel):
    """What was learned from the training rows about making features; kept as JSON beside its model.

    The columns are the scalars, then one indicator each for `currencies`, `categories` and `words`. A missing price or
    stock is -1 with its `_known` indicator 0; a category that was rare in training has no indicator of its own.
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
        found = []
        for names in (self.currencies, self.categories, self.words):
            found.append({name: start + position for position, name in enumerate(names)})
            start += len(names)
        return found[0], found[1], found[2]

    def matrix(self, books: Sequence[BookFacts]) -> FloatMatrix:
        """Shape (books, names), float32, finite."""
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
                found = words_of(book.description)
                row[4] = len(found)
                present = [words[word] for word in found if word in words]
            if book.currency in currencies:
                present.append(currencies[book.currency])
            if book.category in categories:
                present.append(categories[book.category])
            row[present] = 1
        return matrix


def _frequent(values: Sequence[str | None]) -> tuple[str, ...]:
    least = max(_LEAST_ROWS, int(len(values) * _LEAST_SHARE))
    counts = Counter(value for value in values if value is not None)
    return tuple(sorted(value for value, count in counts.items() if count >= least))


def _telling_words(books: Sequence[BookFacts], ratings: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """Words whose books are rated otherwise than the rest, by the z-score of the difference of means."""
    counts: dict[str, int] = defaultdict(int)
    sums: dict[str, float] = defaultdict(float)
    for book, rating in zip(books, ratings.tolist(), strict=True):
        for word in set(words_of(book.description or "")):
            counts[word] += 1
            sums[word] += rating
    total, all_ratings, deviation = len(books), float(ratings.sum()), float(ratings.std())
    least, most = max(_LEAST_ROWS, int(total * _LEAST_SHARE)), total * _MOST_SHARE_OF_WORD
    scores: dict[str, float] = {}
    for word, count in counts.items():
        if least <= count <= most and deviation > 0:
            difference = sums[word] / count - (all_ratings - sums[word]) / (total - count)
            scores[word] = abs(difference) / (deviation * (1 / count + 1 / (total - count)) ** 0.5)
    ranked = sorted((word for word in scores if scores[word] >= _LEAST_Z), key=lambda word: (-scores[word], word))
    return tuple(sorted(ranked[:_MOST_WORDS]))


def learn_features(books: Sequence[BookFacts], ratings: npt.NDArray[np.float64]) -> FeatureSpec:
    """Learns categories, currencies and words from training rows only. `ratings` has shape (books,)."""
    currencies = _frequent([book.currency for book in books])
    return FeatureSpec(
        currencies=currencies if len(currencies) > 1 else (),
        categories=_frequent([book.category for book in books]),
        words=_telling_words(books, ratings),
    )

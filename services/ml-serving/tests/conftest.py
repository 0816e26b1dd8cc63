"""Books with ratings that follow a known rule, records with these books, and tokens."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from bookwheel_contracts import Book, Money
from bookwheel_stores.records import BookReader, connect_database, upgrade_database
from bookwheel_stores.records.tables import book as book_table
from bookwheel_stores.records.values import to_millis
from bookwheel_testing.internal_tokens import internal_token, serving_keys
from sqlalchemy import insert

_MLFLOW_WARNINGS = (  # from MLflow's import
    "ignore:The ``noload`` loader strategy:sqlalchemy.exc.SADeprecationWarning",
    "ignore:.*Any type hint is inferred as AnyType:UserWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for warning in _MLFLOW_WARNINGS:
        config.addinivalue_line("filterwarnings", warning)


MakeBooks = Callable[..., list[Book]]
FillRecords = Callable[[Path, Sequence[Book]], str]
MakeToken = Callable[[str], str]

_MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
_CATEGORIES = {"Poetry": 0.8, "Travel": 0.0, "Mystery": -0.8, "Science": 0.5}
_MARKERS = {"luminous": 0.9, "tedious": -1.0}
_FILLER = [a + b for a in ("stone", "river", "winter", "night") for b in ("song", "light", "house", "road", "garden")]


def _make_books(count: int, *, seed: int = 7, shuffled: bool = False, noise: float = 0.6) -> list[Book]:
    generator = np.random.default_rng(seed)
    books, ratings = [], []
    for number in range(1, count + 1):
        category = str(generator.choice(list(_CATEGORIES)))
        price, stock = Decimal(f"{generator.uniform(5, 60):.2f}"), int(generator.integers(0, 25))
        words = [str(word) for word in generator.choice(_FILLER, 12)]
        words += [marker for marker in _MARKERS if generator.random() < 0.3]
        score = (
            3.0 + _CATEGORIES[category] + (0.7 if price < 25 else -0.3) + sum(_MARKERS.get(word, 0) for word in words)
        )
        ratings.append(float(np.clip(np.round(score + generator.normal() * noise), 1, 5)))
        has_description = number % 33 != 0
        books.append(
            Book(
                id=f"demo:{number:06}",
                number=number,
                title=f"Title {number}",
                category=category,
                description=" ".join(words) if has_description else None,
                price=Money(amount=price, currency="GBP"),
                stock=stock,
                in_stock=stock > 0,
                first_seen=_MOMENT,
                last_seen=_MOMENT,
                last_changed=_MOMENT,
                revision=1,
            )
        )
    if shuffled:
        generator.shuffle(ratings)
    return [book.model_copy(update={"rating": rating}) for book, rating in zip(books, ratings, strict=True)]


@pytest.fixture(scope="session")
def make_books() -> MakeBooks:
    """`make_books(count, seed=…, shuffled=…)`: books with ratings that a forest can learn, unless they are shuffled."""
    return _make_books


def _fill_records(folder: Path, books: Sequence[Book]) -> str:
    url = f"sqlite:///{folder / 'bookwheel.sqlite'}"
    engine = connect_database(url)
    upgrade_database(engine)
    rows = [
        {
            **book.model_dump(include={"number", "title", "category", "description", "rating", "stock", "in_stock"}),
            "book_id": book.id,
            "authors": "[]",
            "price": int(book.price.amount * 10_000) if book.price else None,
            "currency": book.price.currency if book.price else None,
            "first_seen": to_millis(book.first_seen),
            "last_changed": to_millis(book.last_changed),
            "revision": book.revision,
        }
        for book in books
    ]
    if rows:
        with engine.begin() as connection:
            connection.execute(insert(book_table), rows)
    engine.dispose()
    return url


@pytest.fixture(scope="session")
def fill_records() -> FillRecords:
    """`fill_records(folder, books)`: creates SQLite records with these books and returns their URL."""
    return _fill_records


@pytest.fixture(scope="session")
def book_reader(tmp_path_factory: pytest.TempPathFactory, make_books: MakeBooks) -> Iterator[BookReader]:
    """Records with 400 books of `make_books`."""
    engine = connect_database(_fill_records(tmp_path_factory.mktemp("records"), make_books(400)))
    yield BookReader(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def make_token() -> MakeToken:
    """`make_token(scope)`: an internal token that the service under test accepts."""
    return internal_token


@pytest.fixture(scope="session")
def jwks_url() -> Iterator[str]:
    with serving_keys() as url:
        yield url

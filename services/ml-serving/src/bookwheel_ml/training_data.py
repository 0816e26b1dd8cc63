"""The rows that models are trained and judged on, for people: as objects, CSV or Parquet."""

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Any, Literal

import pyarrow as pa
from bookwheel_contracts import Book, Money
from pyarrow.parquet import ParquetWriter
from pydantic import BaseModel

from bookwheel_ml.dataset import is_held_out

_BATCH = 1_000
_COLUMNS = pa.schema(
    [
        pa.field("book_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("category", pa.string()),
        pa.field("description", pa.string()),
        pa.field("price_amount", pa.decimal128(14, 4)),
        pa.field("price_currency", pa.string()),
        pa.field("stock", pa.int64()),
        pa.field("rating", pa.float64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


class TrainingRow(BaseModel):
    """One rated book. `split` says whether models learn from it or are judged by it; it never changes."""

    book_id: str
    title: str
    category: str | None
    description: str | None
    price: Money | None
    stock: int | None
    rating: float
    split: Literal["training", "held_out"]


def training_row(book: Book) -> TrainingRow:
    """`book` must have a rating."""
    if book.rating is None:
        raise ValueError(f"{book.id} has no rating")
    return TrainingRow(
        book_id=book.id,
        title=book.title,
        category=book.category,
        description=book.description,
        price=book.price,
        stock=book.stock,
        rating=book.rating,
        split="held_out" if is_held_out(book) else "training",
    )


def _flat(book: Book) -> dict[str, str | float | Decimal | None]:
    row = training_row(book)
    fields = row.model_dump(exclude={"price"})
    amount, currency = (row.price.amount, row.price.currency) if row.price else (None, None)
    return {**fields, "price_amount": amount, "price_currency": currency}


def _batches(books: Iterable[Book]) -> Iterator[list[Book]]:
    remaining = iter(books)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


def csv_chunks(books: Iterable[Book]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8 with a header line. An unknown value is an empty field; the price is an exact decimal."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS.names)
    writer.writeheader()
    for batch in _batches(books):
        writer.writerows(_flat(book) for book in batch)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


class _Outbox(io.RawIOBase):
    """A file to write to whose content is taken away piece by piece."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._written

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def parquet_chunks(books: Iterable[Book]) -> Iterator[bytes]:
    """A row group per 1,000 books, so that memory does not grow with the catalog."""
    outbox = _Outbox()
    with ParquetWriter(outbox, _COLUMNS) as writer:
        for batch in _batches(books):
            writer.write_table(pa.Table.from_pylist([_flat(book) for book in batch], schema=_COLUMNS))
            yield outbox.take()
    yield outbox.take()

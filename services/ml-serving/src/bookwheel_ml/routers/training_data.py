"""GET /ml/training-data: the rows that models are trained and evaluated on, as JSON, CSV or Parquet."""

import csv
import io
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, Literal

import pyarrow as pa
from bookwheel_contracts import Book, Claims, Money, Scope
from bookwheel_contracts.problems import InvalidParameterError
from bookwheel_runtime.query_models import QueryModel
from bookwheel_runtime.tokens import require_scope
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse
from pyarrow.parquet import ParquetWriter
from pydantic import BaseModel, Field

from bookwheel_ml import API_PREFIX
from bookwheel_ml.dependencies import Dependencies, get_dependencies
from bookwheel_ml.routers.content_negotiation import choose_media_type
from bookwheel_ml.routers.cursors import decode_cursor, encode_cursor
from bookwheel_ml.training.dataset import is_held_out, rated_books

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_CURSOR = "training-data"
_JSON, _CSV, _PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
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
    """One rated book. `split` tells whether models train on it or are evaluated with it; it never changes."""

    book_id: str
    title: str
    category: str | None
    description: str | None
    price: Money | None
    stock: int | None
    rating: float
    split: Literal["training", "held_out"]


class TrainingDataPage(BaseModel):
    items: list[TrainingRow]
    next: str | None


class TrainingDataParameters(QueryModel):
    limit: int | None = Field(default=None, ge=1, le=1_000)
    cursor: str | None = None


@router.get(
    "/training-data",
    response_model=TrainingDataPage,
    responses={200: {"content": {_CSV: {}, _PARQUET: {}}}, 406: {"description": "No offered type is accepted."}},
)
def get_training_data(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
    parameters: Annotated[TrainingDataParameters, Query()],
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The rated books, by `Accept`: pages of JSON (100 rows by default), or all rows as CSV or Parquet."""
    media_type = choose_media_type(accept, (_JSON, _CSV, _PARQUET))
    headers = {"Vary": "Accept"}
    if media_type == _JSON:
        after_number = decode_cursor(_CURSOR, parameters.cursor) if parameters.cursor is not None else 0
        page = _get_page(dependencies, parameters.limit or 100, after_number)
        return Response(page.model_dump_json(), media_type=_JSON, headers=headers)
    if parameters.limit is not None or parameters.cursor is not None:
        raise InvalidParameterError(f"`limit` and `cursor` are invalid for {media_type}: use them with {_JSON}.")
    chunks = (csv_chunks if media_type == _CSV else parquet_chunks)(rated_books(dependencies.books))
    return StreamingResponse(chunks, media_type=media_type, headers=headers)


def _get_page(dependencies: Dependencies, limit: int, after_number: int) -> TrainingDataPage:
    rows = list(islice(rated_books(dependencies.books, after_number=after_number, page=limit + 1), limit + 1))
    next_cursor = encode_cursor(_CURSOR, rows[limit - 1].number) if len(rows) > limit else None
    return TrainingDataPage(items=[training_row(book) for book in rows[:limit]], next=next_cursor)


def training_row(book: Book) -> TrainingRow:
    """Raises ValueError if the book has no rating."""
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


def csv_chunks(books: Iterable[Book]) -> Iterator[bytes]:
    """Yields RFC 4180 in UTF-8 with a header line. An unknown value is an empty field; prices are exact decimals."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS.names)
    writer.writeheader()
    for batch in _batches(books):
        writer.writerows(_flat_row(book) for book in batch)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def parquet_chunks(books: Iterable[Book]) -> Iterator[bytes]:
    """Yields a row group per 1,000 books, so memory does not grow with the catalog."""
    buffer = _ChunkBuffer()
    with ParquetWriter(buffer, _COLUMNS) as writer:
        for batch in _batches(books):
            writer.write_table(pa.Table.from_pylist([_flat_row(book) for book in batch], schema=_COLUMNS))
            yield buffer.drain()
    yield buffer.drain()


def _flat_row(book: Book) -> dict[str, str | float | Decimal | None]:
    row = training_row(book)
    amount, currency = (row.price.amount, row.price.currency) if row.price else (None, None)
    return {**row.model_dump(exclude={"price"}), "price_amount": amount, "price_currency": currency}


def _batches(books: Iterable[Book]) -> Iterator[list[Book]]:
    remaining = iter(books)
    while batch := list(islice(remaining, _BATCH)):
        yield batch


class _ChunkBuffer(io.RawIOBase):
    """A writable file whose content is removed chunk by chunk."""

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

    def drain(self) -> bytes:
        content = b"".join(self._parts)
        self._parts.clear()
        return content

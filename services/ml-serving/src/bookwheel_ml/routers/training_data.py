"""GET /ml/training-data: the rows for training and evaluation, as JSON, CSV or Parquet."""

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
from bookwheel_ml.training.dataset import is_held_out, read_rated_books

router = APIRouter(prefix=API_PREFIX, tags=["ml"])

_LIST_NAME = "training-data"
_JSON, _CSV, _PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
_BATCH_SIZE = 1_000
_SCHEMA = pa.schema(
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
    """A rated book. `split` states its use: training or evaluation. It never changes."""

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
    responses={200: {"content": {_CSV: {}, _PARQUET: {}}}, 406: {"description": "The client accepts no offered type."}},
)
def get_training_data(
    _claims: Annotated[Claims, Depends(require_scope(Scope.ML_PREDICT))],
    dependencies: Annotated[Dependencies, Depends(get_dependencies)],
    parameters: Annotated[TrainingDataParameters, Query()],
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """Returns the rated books by `Accept`: a page of JSON (100 rows by default), or all rows as CSV or Parquet."""
    media_type = choose_media_type(accept, (_JSON, _CSV, _PARQUET))
    headers = {"Vary": "Accept"}
    if media_type == _JSON:
        after_number = decode_cursor(_LIST_NAME, parameters.cursor) if parameters.cursor is not None else 0
        page = _get_page(dependencies, parameters.limit or 100, after_number)
        return Response(page.model_dump_json(), media_type=_JSON, headers=headers)
    if parameters.limit is not None or parameters.cursor is not None:
        raise InvalidParameterError(f"`limit` and `cursor` are invalid for {media_type}: use them with {_JSON}.")
    chunks = (render_csv_chunks if media_type == _CSV else render_parquet_chunks)(read_rated_books(dependencies.books))
    return StreamingResponse(chunks, media_type=media_type, headers=headers)


def _get_page(dependencies: Dependencies, limit: int, after_number: int) -> TrainingDataPage:
    rows = list(islice(read_rated_books(dependencies.books, after_number=after_number, page_size=limit + 1), limit + 1))
    next_cursor = encode_cursor(_LIST_NAME, rows[limit - 1].number) if len(rows) > limit else None
    return TrainingDataPage(items=[create_training_row(book) for book in rows[:limit]], next=next_cursor)


def create_training_row(book: Book) -> TrainingRow:
    """Returns the row of a rated book. Raises ValueError if the book has no rating."""
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


def render_csv_chunks(books: Iterable[Book]) -> Iterator[bytes]:
    """Yields CSV (RFC 4180, UTF-8) with a header line. Unknown values are empty fields. Prices are exact decimals."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, _SCHEMA.names)
    writer.writeheader()
    for batch in _split_into_batches(books):
        writer.writerows(_create_flat_row(book) for book in batch)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def render_parquet_chunks(books: Iterable[Book]) -> Iterator[bytes]:
    """Yields a Parquet file. Each row group has 1,000 books, so memory does not grow with the catalog."""
    buffer = _ChunkBuffer()
    with ParquetWriter(buffer, _SCHEMA) as writer:
        for batch in _split_into_batches(books):
            writer.write_table(pa.Table.from_pylist([_create_flat_row(book) for book in batch], schema=_SCHEMA))
            yield buffer.drain()
    yield buffer.drain()


def _create_flat_row(book: Book) -> dict[str, str | float | Decimal | None]:
    row = create_training_row(book)
    amount, currency = (row.price.amount, row.price.currency) if row.price else (None, None)
    return {**row.model_dump(exclude={"price"}), "price_amount": amount, "price_currency": currency}


def _split_into_batches(books: Iterable[Book]) -> Iterator[list[Book]]:
    book_iterator = iter(books)
    while batch := list(islice(book_iterator, _BATCH_SIZE)):
        yield batch


class _ChunkBuffer(io.RawIOBase):
    """A writable file. `drain` returns its content and removes it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._size

    def drain(self) -> bytes:
        content = b"".join(self._parts)
        self._parts.clear()
        return content

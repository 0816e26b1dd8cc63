"""Cursors, content negotiation, and the training data as JSON, CSV and Parquet."""

import csv
import io
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pytest
from bookwheel_contracts import Book
from bookwheel_contracts.problems import InvalidCursorError, NotAcceptableError
from bookwheel_ml.routers.content_negotiation import choose_media_type
from bookwheel_ml.routers.cursors import decode_cursor, encode_cursor
from bookwheel_ml.routers.training_data import create_training_row, render_csv_chunks, render_parquet_chunks
from hypothesis import given
from hypothesis import strategies as st
from pyarrow.parquet import ParquetFile

MakeBooks = Callable[..., list[Book]]
_OFFERED = ("application/json", "text/csv", "application/vnd.apache.parquet")


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_a_cursor_is_decoded_to_its_number_only_for_its_list(number: int) -> None:
    cursor = encode_cursor("models", number)
    assert decode_cursor("models", cursor) == number
    with pytest.raises(InvalidCursorError):
        decode_cursor("training-data", cursor)


@given(st.text(max_size=150))
def test_any_other_text_is_an_invalid_cursor(text: str) -> None:
    with pytest.raises(InvalidCursorError):
        decode_cursor("models", text)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "application/json"),
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("TEXT/CSV", "text/csv"),
        ("text/html, application/vnd.apache.parquet;q=0.5", "application/vnd.apache.parquet"),
        ("application/json;q=0.1, text/csv;q=0.9", "text/csv"),
        ("application/json;q=0, */*;q=0.2", "text/csv"),
        ("text/csv;charset=utf-8;q=1.0", "text/csv"),
    ],
)
def test_the_offered_type_with_the_highest_quality_is_chosen(accept: str | None, chosen: str) -> None:
    assert choose_media_type(accept, _OFFERED) == chosen


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", "*/*;q=0", "text/csv;q=much", ";;;", "nan;q=nan"]
)
def test_a_client_that_accepts_no_offered_type_gets_an_error(accept: str) -> None:
    with pytest.raises(NotAcceptableError):
        choose_media_type(accept, _OFFERED)


@given(st.text(max_size=60))
def test_any_accept_header_is_parsed(accept: str) -> None:
    with suppress(NotAcceptableError):
        assert choose_media_type(accept, _OFFERED) in _OFFERED


def _with_special_values(books: list[Book]) -> list[Book]:
    values = {
        "title": '=1+1, "quoted"\r\nsecond line',
        "description": None,
        "price": None,
        "stock": None,
        "category": "",
    }
    return [books[0].model_copy(update=values), *books[1:]]


@pytest.mark.parametrize("count", [0, 1, 1_000, 2_500])
def test_parquet_holds_every_row_exactly(make_books: MakeBooks, count: int) -> None:
    books = _with_special_values(make_books(count)) if count else []
    chunks = list(render_parquet_chunks(iter(books)))
    file = ParquetFile(io.BytesIO(b"".join(chunks)), pre_buffer=False)
    rows = file.read(use_threads=False).to_pylist()
    assert file.metadata.num_row_groups == -(-count // 1_000)
    assert rows == [_expected(book) for book in books]


@pytest.mark.parametrize("count", [0, 1, 1_500])
def test_csv_holds_every_row_exactly(make_books: MakeBooks, count: int) -> None:
    books = _with_special_values(make_books(count)) if count else []
    text = b"".join(render_csv_chunks(iter(books))).decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert len(rows) == count
    assert text.startswith("book_id,title,category,description,price_amount,price_currency,stock,rating,split")
    for row, book in zip(rows, books, strict=True):
        assert row == {name: "" if value is None else str(value) for name, value in _expected(book).items()}


def _expected(book: Book) -> dict[str, str | int | float | Decimal | None]:
    return {
        "book_id": book.id,
        "title": book.title,
        "category": book.category,
        "description": book.description,
        "price_amount": book.price.amount if book.price else None,
        "price_currency": book.price.currency if book.price else None,
        "stock": book.stock,
        "rating": book.rating,
        "split": create_training_row(book).split,
    }

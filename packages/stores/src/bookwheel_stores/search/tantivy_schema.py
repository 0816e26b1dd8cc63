"""The Tantivy mapping: which fields a book has in the index and how each is compiled from it.

Change a field's meaning and `MAPPING` must count up: an index of another mapping is another folder.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import tantivy
from bookwheel_contracts import Book

from bookwheel_stores.search.documents import list_item
from bookwheel_stores.search.folding import folded, folded_words

MAPPING = "books-v1"
WORDS = "bookwheel_words"
"""Tokenizer of text that is folded already: splits at spaces."""
TITLE_START = "^"
"""Stands before a title's first word, so that a phrase can ask for titles starting with it. Folding never yields it."""

TEXT_FIELDS = ("title", "authors", "category_text", "description")
TERM_FIELDS = ("category", "author", "source", "language", "currency", "isbn13")
SUGGEST_FIELDS = ("suggest_title", "suggest_author", "suggest_category")
INTEGER_FIELDS = ("price", "stock", "rating_count", "first_seen", "last_changed")
SORTS = ("price", "-price", "rating", "-rating", "stock", "-stock", "newest", "last_changed", "-last_changed")
"""Orders that have a key field: an unsigned number of the quantised value above the book's number, ascending."""

MONEY_UNITS = 10_000
"""The index counts money in ten-thousandths: contracts allow four decimal places."""
NUMBER_BITS = 26
MAX_NUMBER = (1 << NUMBER_BITS) - 1
_LAST_VALUE = (1 << (64 - NUMBER_BITS)) - 1
_SUGGESTED_WORDS = 6
_TITLE_KEY_LENGTH = 200


def sort_field(sort: str) -> str:
    return f"by_{sort.removeprefix('-')}_{'descending' if sort.startswith('-') else 'ascending'}"


def build_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", indexed=True, fast=True)
    builder.add_unsigned_field("revision", fast=True)
    builder.add_bytes_field("body", stored=True)
    for name in ("id", "title_exact", *SUGGEST_FIELDS):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in TEXT_FIELDS:
        builder.add_text_field(name, tokenizer_name=WORDS, index_option="position")
    for name in (*TERM_FIELDS, "by_title"):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    for name in INTEGER_FIELDS:
        builder.add_integer_field(name, indexed=True, fast=True)
    builder.add_float_field("rating", indexed=True, fast=True)
    builder.add_boolean_field("in_stock", indexed=True, fast=True)
    builder.add_float_field("weight", fast=True)
    for sort in SORTS:
        builder.add_unsigned_field(sort_field(sort), indexed=True, fast=True)
    return builder.build()


def index_folder(path: Path) -> Path:
    return path / MAPPING


def register_tokenizer(index: tantivy.Index) -> None:
    index.register_tokenizer(WORDS, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def money_units(amount: Decimal) -> int:
    return int(amount * MONEY_UNITS)


def build_document(book: Book) -> tantivy.Document:
    """Raises ValueError for a number beyond `MAX_NUMBER`: sort keys have no room for it."""
    if book.number > MAX_NUMBER:
        raise ValueError(f"book number {book.number} is beyond {MAX_NUMBER}: this catalogue needs the cluster engine")
    document = tantivy.Document()
    document.add_unsigned("number", book.number)
    document.add_unsigned("revision", book.revision)
    document.add_text("id", book.id)
    document.add_bytes("body", list_item(book))
    _add_text(document, book)
    _add_facts(document, book)
    for sort, value in _sort_values(book):
        quantised = _LAST_VALUE if value is None else min(max(value, 0), _LAST_VALUE - 1)
        document.add_unsigned(sort_field(sort), quantised << NUMBER_BITS | book.number)
    return document


def _add_text(document: tantivy.Document, book: Book) -> None:
    title = folded_words(book.title)
    joined = " ".join(title)
    document.add_text("title", f"{TITLE_START} {joined}")
    document.add_text("title_exact", joined)
    document.add_text("by_title", f"{joined[:_TITLE_KEY_LENGTH]}\0{book.number:08d}")
    document.add_float("weight", _weight(len(title), book.number))
    _add_suggestions(document, "suggest_title", title)
    for author in book.authors:
        words = folded_words(author)
        document.add_text("authors", " ".join(words))
        _add_suggestions(document, "suggest_author", words)
    if book.category is not None:
        words = folded_words(book.category)
        document.add_text("category_text", " ".join(words))
        _add_suggestions(document, "suggest_category", words)
    if book.description is not None:
        document.add_text("description", folded(book.description))


def _weight(title_words: int, number: int) -> float:
    """What a match's score is multiplied by, under Tantivy's `log2(2 + weight)`: 1.968 to 2, shorter titles first.

    Numbers spread what else would be ties: 2,048 values is what the 24 bits of a score can tell apart.
    """
    return float(2 ** (2 - (min(title_words, 31) + number % 2048 / 2048) / 1000) - 2)


def _add_suggestions(document: tantivy.Document, field: str, words: list[str]) -> None:
    """A name is completed from the start of each of its first words."""
    for start in range(min(len(words), _SUGGESTED_WORDS)):
        document.add_text(field, " ".join(words[start : start + _SUGGESTED_WORDS]))


def _add_facts(document: tantivy.Document, book: Book) -> None:
    for field, value in (("category", book.category), ("language", book.language), ("isbn13", book.isbn13)):
        if value is not None:
            document.add_text(field, value)
    for author in dict.fromkeys(book.authors):
        document.add_text("author", author)
    for source in dict.fromkeys(offer.source for offer in book.offers):
        document.add_text("source", source)
    if book.price is not None:
        document.add_text("currency", book.price.currency)
        document.add_integer("price", money_units(book.price.amount))
    if book.rating is not None:
        document.add_float("rating", book.rating)
    for field, number in (("stock", book.stock), ("rating_count", book.rating_count)):
        if number is not None:
            document.add_integer(field, number)
    document.add_boolean("in_stock", book.in_stock)
    document.add_integer("first_seen", milliseconds(book.first_seen))
    document.add_integer("last_changed", milliseconds(book.last_changed))


def _sort_values(book: Book) -> Iterator[tuple[str, int | None]]:
    """Each order with the book's value in it, as a number that ascends in that order; None comes last."""
    price = None if book.price is None else money_units(book.price.amount) // 100
    rating = None if book.rating is None else round(book.rating * 1_000_000)
    for field, value in (("price", price), ("rating", rating), ("stock", book.stock)):
        yield field, value
        yield f"-{field}", None if value is None else _LAST_VALUE - 1 - value
    changed = milliseconds(book.last_changed) // 100
    yield "newest", _LAST_VALUE - 1 - milliseconds(book.first_seen) // 100
    yield "last_changed", changed
    yield "-last_changed", _LAST_VALUE - 1 - changed

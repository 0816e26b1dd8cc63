"""The Tantivy mapping: which fields a book has in the index and how each is compiled from it.

Change a field's meaning and `MAPPING` must count up: an index of another mapping is another folder.
"""

import struct
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson
import tantivy
from bookwheel_contracts import BookState

from bookwheel_stores.search.folding import folded, folded_words

MAPPING = "books-v2"
WORDS = "bookwheel_words"
"""Tokenizer of text that is folded already: splits at spaces."""
TITLE_START = "^"
"""Stands before a title's first word, so that a phrase can ask for titles starting with it. Folding never yields it."""

TEXT_FIELDS = ("title", "authors", "category_text", "description")
TYPOS_FIELD = "title_author_category_words"
"""Words that are found with typos too: one field for all of them, since each costs an automaton.

Descriptions are left out: nearly every one has some word that is one typo away from a short one.
"""
TERM_FIELDS = ("category", "author", "source", "language", "currency", "isbn13")
SUGGEST_FIELDS = ("suggest_title", "suggest_author", "suggest_category")
SCALES = {"price": 10_000, "rating": 1_000_000, "rating_count": 1, "stock": 1, "first_seen": 1, "last_changed": 1}
"""Numbers are indexed as integers, so that bounds, sums and buckets are exact: units per one of the public value."""
SORT_FIELDS = {
    "price": "by_price",
    "-price": "by_price_descending",
    "rating": "by_rating",
    "-rating": "by_rating_descending",
    "stock": "by_stock",
    "-stock": "by_stock_descending",
    "newest": "by_first_seen_descending",
    "last_changed": "by_last_changed",
    "-last_changed": "by_last_changed_descending",
}
"""Key fields: an unsigned number of the quantised value above the book's number, which ascends in its order."""
TITLE_KEYS = ("by_title", "by_title_2", "by_title_3", "by_title_4")
"""The folded title's first bytes, eight to a field: titles are ordered by 32 bytes and then by number.

Tantivy orders by a text field too, but looks up the text of each match for it: 46 ms a page at 1,000 books.
"""

NUMBER_BITS = 26
NUMBER_MASK = MAX_NUMBER = (1 << NUMBER_BITS) - 1
_NO_VALUE = (1 << (64 - NUMBER_BITS)) - 1
_SUGGESTED_WORDS = 6


def build_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", indexed=True, fast=True)
    builder.add_unsigned_field("revision", fast=True)
    builder.add_bytes_field("body", stored=True)
    for name in ("id", "title_exact", *SUGGEST_FIELDS):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for name in TEXT_FIELDS:
        builder.add_text_field(name, tokenizer_name=WORDS, index_option="position")
    builder.add_text_field(TYPOS_FIELD, tokenizer_name=WORDS, index_option="basic")
    for name in TERM_FIELDS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    for name in SCALES:
        builder.add_integer_field(name, indexed=True, fast=True)
    builder.add_boolean_field("in_stock", indexed=True, fast=True)
    builder.add_float_field("weight", fast=True)
    for name in (*SORT_FIELDS.values(), TITLE_KEYS[0]):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    for name in TITLE_KEYS[1:]:
        builder.add_unsigned_field(name, fast=True)
    return builder.build()


def index_folder(path: Path) -> Path:
    return path / MAPPING


def register_tokenizer(index: tantivy.Index) -> None:
    index.register_tokenizer(WORDS, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())


def milliseconds(moment: str) -> int:
    """From RFC 3339."""
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def build_document(book: BookState) -> tantivy.Document:
    """Raises ValueError for a number beyond `MAX_NUMBER`: sort keys have no room for it."""
    if book.number > MAX_NUMBER:
        raise ValueError(f"book number {book.number} is beyond {MAX_NUMBER}: this catalogue needs the cluster engine")
    document = tantivy.Document()
    document.add_unsigned("number", book.number)
    document.add_unsigned("revision", book.revision)
    document.add_text("id", book.book_id)
    document.add_bytes("body", book.content)
    content = orjson.loads(book.content)
    _add_text(document, book.number, content)
    _add_facts(document, content)
    _add_numbers(document, book.number, content)
    return document


def _add_text(document: tantivy.Document, number: int, content: Mapping[str, Any]) -> None:
    title = folded_words(content["title"])
    joined = " ".join(title)
    document.add_text("title", f"{TITLE_START} {joined}")
    document.add_text("title_exact", joined)
    for field, key in zip(TITLE_KEYS, title_keys(joined), strict=True):
        document.add_unsigned(field, key)
    document.add_float("weight", _weight(len(title), number))
    _add_suggestions(document, "suggest_title", title)
    document.add_text(TYPOS_FIELD, joined)
    for author in content["authors"]:
        words = folded_words(author)
        document.add_text("authors", " ".join(words))
        document.add_text(TYPOS_FIELD, " ".join(words))
        _add_suggestions(document, "suggest_author", words)
    if content["category"] is not None:
        words = folded_words(content["category"])
        document.add_text("category_text", " ".join(words))
        document.add_text(TYPOS_FIELD, " ".join(words))
        _add_suggestions(document, "suggest_category", words)
    if content["description"] is not None:
        document.add_text("description", folded(content["description"]))


def title_keys(folded_title: str) -> tuple[int, ...]:
    """Unsigned 64-bit numbers that compare as the beginnings of titles do."""
    length = 8 * len(TITLE_KEYS)
    start = folded_title.encode()[:length].ljust(length, b"\0")
    return struct.unpack(f">{len(TITLE_KEYS)}Q", start)


def _weight(title_words: int, number: int) -> float:
    """What a match's score is multiplied by, under Tantivy's `log2(2 + weight)`: 1.968 to 2, shorter titles first.

    Numbers spread what else would be ties: 2,048 values is what the 24 bits of a score can tell apart.
    """
    return float(2 ** (2 - (min(title_words, 31) + number % 2048 / 2048) / 1000) - 2)


def _add_suggestions(document: tantivy.Document, field: str, words: list[str]) -> None:
    """A name is completed from the start of each of its first words."""
    for start in range(min(len(words), _SUGGESTED_WORDS)):
        document.add_text(field, " ".join(words[start : start + _SUGGESTED_WORDS]))


def _add_facts(document: tantivy.Document, content: Mapping[str, Any]) -> None:
    for field in ("category", "language", "isbn13"):
        if content[field] is not None:
            document.add_text(field, content[field])
    for author in dict.fromkeys(content["authors"]):
        document.add_text("author", author)
    for source in dict.fromkeys(offer["source"] for offer in content["offers"]):
        document.add_text("source", source)
    if content["price"] is not None:
        document.add_text("currency", content["price"]["currency"])
    document.add_boolean("in_stock", content["in_stock"])


@lru_cache(maxsize=65536)
def _price_units(amount: str) -> int:
    return int(Decimal(amount) * SCALES["price"])


def _add_numbers(document: tantivy.Document, number: int, content: Mapping[str, Any]) -> None:
    """The filterable integers, and each order's key."""
    price = None if content["price"] is None else _price_units(content["price"]["amount"])
    rating = None if content["rating"] is None else round(content["rating"] * SCALES["rating"])
    seen, changed = milliseconds(content["first_seen"]), milliseconds(content["last_changed"])
    for field, units in (
        ("price", price),
        ("rating", rating),
        ("rating_count", content["rating_count"]),
        ("stock", content["stock"]),
        ("first_seen", seen),
        ("last_changed", changed),
    ):
        if units is not None:
            document.add_integer(field, units)
    # keys have 38 bits for the value: cents up to 2.7 billion, and tenths of a second
    cents = None if price is None else price // 100
    for field, value in (
        ("price", cents),
        ("rating", rating),
        ("stock", content["stock"]),
        ("last_changed", changed // 100),
    ):
        document.add_unsigned(SORT_FIELDS[field], _key(value, number))
        document.add_unsigned(SORT_FIELDS[f"-{field}"], _descending_key(value, number))
    document.add_unsigned(SORT_FIELDS["newest"], _descending_key(seen // 100, number))


def _key(value: int | None, number: int) -> int:
    """Ascends with the value and then with the number; books without the value come last."""
    return (_NO_VALUE if value is None else min(max(value, 0), _NO_VALUE - 1)) << NUMBER_BITS | number


def _descending_key(value: int | None, number: int) -> int:
    return _key(None if value is None else _NO_VALUE - 1 - value, number)

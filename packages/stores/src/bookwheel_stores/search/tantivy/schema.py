"""The Tantivy mapping: which fields a book has in the index; `tantivy_documents` fills them.

Change a field's meaning and `MAPPING` must count up: an index of another mapping is another folder.
"""

from pathlib import Path

import tantivy

from bookwheel_stores.search.number_units import SCALES

MAPPING = "books-v3"
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


def build_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", indexed=True, fast=True)
    builder.add_unsigned_field("revision", fast=True)
    builder.add_unsigned_field("digest", fast=True)
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
    """The folder that serves: the one that the pointer names, or the first."""
    try:
        return path / pointer(path).read_text().strip()
    except FileNotFoundError:
        return path / MAPPING


def pointer(path: Path) -> Path:
    """A file that holds the name of the folder that serves, once there has been more than one."""
    return path / f"{MAPPING}.current"


def register_tokenizer(index: tantivy.Index) -> None:
    index.register_tokenizer(WORDS, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())

"""The Tantivy schema, and the documents that fill it.

After a change of the fields, increment `fields.TANTIVY_INDEX`, the name of the index folder.
"""

from binascii import b2a_base64
from pathlib import Path

import orjson
import tantivy
from bookwheel_contracts import BookState

from bookwheel_stores.search.documents import Fields, build_fields, title_keys
from bookwheel_stores.search.fields import (
    MAX_NUMBER,
    MAX_SORT_VALUE,
    NO_SORT_VALUE,
    NUMBER_BITS,
    NUMERIC_SCALES,
    SORT_FIELDS,
    SORT_PRECISIONS,
    TANTIVY_INDEX,
    TERM_FIELDS,
    TEXT_FIELDS,
    to_sort_value,
)
from bookwheel_stores.search.queries import Sort
from bookwheel_stores.search.scoring import title_factor

WORDS = "bookwheel_words"
"""The tokenizer of folded text, which splits at spaces."""
TYPO_FIELD = "title_author_category_words"
"""The single field for matches with typos, because each field needs an automaton."""
TITLE_KEY_FIELDS = ("by_title", "by_title_2", "by_title_3", "by_title_4")
"""The first 32 bytes of the folded title, eight per field.

To sort by a text field, Tantivy reads the text of each match: 46 ms per page with 1,000 books.
"""
_SUGGESTED = tuple(name for name, field in TEXT_FIELDS.items() if field.is_suggested)


def sort_key_field(sort: Sort) -> str:
    """Return the field of ascending sort keys: the sort value in the upper bits, the book number in the lower."""
    name, is_descending = SORT_FIELDS[sort]
    return f"by_{name}_descending" if is_descending else f"by_{name}"


_SORT_KEYS = {sort_key_field(sort): field_and_order for sort, field_and_order in SORT_FIELDS.items()}
"""The field and whether it descends, by sort key field."""


def build_schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_unsigned_field("number", indexed=True, fast=True)
    builder.add_unsigned_field("revision", fast=True)
    builder.add_unsigned_field("digest", fast=True)
    builder.add_bytes_field("body", stored=True)
    for name in ("id", "title_exact", *(f"suggest_{name}" for name in _SUGGESTED)):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
    for field in TEXT_FIELDS.values():
        builder.add_text_field(field.index_name, tokenizer_name=WORDS, index_option="position")
    builder.add_text_field(TYPO_FIELD, tokenizer_name=WORDS, index_option="basic")
    for name in TERM_FIELDS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    for name in NUMERIC_SCALES:
        builder.add_integer_field(name, indexed=True, fast=True)
    builder.add_boolean_field("in_stock", indexed=True, fast=True)
    builder.add_float_field("weight", fast=True)
    for name in (*_SORT_KEYS, TITLE_KEY_FIELDS[0]):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    for name in TITLE_KEY_FIELDS[1:]:
        builder.add_unsigned_field(name, fast=True)
    return builder.build()


def document_json(book: BookState) -> str:
    """Render the document of an existing book as JSON. Raises ValueError for a number above `MAX_NUMBER`.

    Parsing JSON in Tantivy is three times as fast as filling a `tantivy.Document`.
    """
    fields = document_fields(book)
    fields["body"] = b2a_base64(book.content, newline=False).decode()
    return orjson.dumps(fields).decode()


def document_fields(book: BookState) -> Fields:
    """Return all fields except the body, with a value or a list of values. Raises ValueError like `document_json`."""
    number = book.number
    if number > MAX_NUMBER:
        raise ValueError(f"book number {number} is invalid: beyond {MAX_NUMBER}, use the Elasticsearch engine")
    fields, typo_texts, title_words = build_fields(book)
    fields[TYPO_FIELD] = typo_texts
    fields["weight"] = 2 ** title_factor(title_words, number) - 2  # Tantivy multiplies scores by log2(2 + weight)
    fields.update(zip(TITLE_KEY_FIELDS, title_keys(fields["title_exact"]), strict=True))
    sort_values = {
        name: NO_SORT_VALUE if fields.get(name) is None else to_sort_value(fields[name], precision)
        for name, precision in SORT_PRECISIONS.items()
    }
    for key_field, (name, is_descending) in _SORT_KEYS.items():
        value = sort_values[name]
        if is_descending and value != NO_SORT_VALUE:
            value = MAX_SORT_VALUE - value
        fields[key_field] = value << NUMBER_BITS | number
    return fields


def index_folder(path: Path) -> Path:
    """Return the serving folder: the folder named in the pointer file, or the first folder."""
    try:
        return path / pointer_file(path).read_text().strip()
    except FileNotFoundError:
        return path / TANTIVY_INDEX


def pointer_file(path: Path) -> Path:
    """Return the file with the name of the serving folder. It is missing until an index build is published."""
    return path / f"{TANTIVY_INDEX}.current"


def register_tokenizer(index: tantivy.Index) -> None:
    index.register_tokenizer(WORDS, tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())

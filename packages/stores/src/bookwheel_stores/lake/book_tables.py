"""Converts book contents of the change feed to columnar tables of books and offers."""

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from bookwheel_contracts import BOOK_DETAILS, LATER_DETAILS

_BLOCK_BYTES = 4 << 20
_TIMESTAMP = pa.timestamp("ms", "UTC")
_AMOUNT = pa.decimal128(14, 4)
_CATEGORICAL = pa.dictionary(pa.int32(), pa.string())
_PRICE = pa.struct([("amount", pa.string()), ("currency", pa.string())])
_OFFER = pa.struct(
    [
        ("source", pa.string()),
        ("url", pa.string()),
        ("price", _PRICE),
        ("stock", pa.int64()),
        ("in_stock", pa.bool_()),
        ("first_seen", _TIMESTAMP),
    ]
)
_DETAIL_TYPES = {str: pa.string(), tuple: pa.list_(pa.string()), float: pa.float64(), int: pa.int64()}
_LATER_COLUMNS = [pa.field(name, _DETAIL_TYPES[BOOK_DETAILS[name]]) for name in LATER_DETAILS]
"""These columns are last, so that the other columns keep their positions in exports."""
_CONTENT = pa.schema(
    [
        ("id", pa.string()),
        *((name, _DETAIL_TYPES[kind]) for name, kind in BOOK_DETAILS.items()),
        ("price", _PRICE),
        ("stock", pa.int64()),
        ("in_stock", pa.bool_()),
        ("offers", pa.list_(_OFFER)),
        ("first_seen", _TIMESTAMP),
        ("last_changed", _TIMESTAMP),
        ("revision", pa.int64()),
    ]
)

BOOKS = pa.schema(
    [
        pa.field("book_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("authors", pa.list_(pa.string()), nullable=False),
        ("isbn13", pa.string()),
        ("category", _CATEGORICAL),
        ("description", pa.string()),
        ("language", _CATEGORICAL),
        ("price_amount", _AMOUNT),
        ("price_currency", _CATEGORICAL),
        ("rating", pa.float64()),
        ("rating_count", pa.int64()),
        ("stock", pa.int64()),
        pa.field("in_stock", pa.bool_(), nullable=False),
        ("image_url", pa.string()),
        pa.field("sources", pa.list_(pa.string()), nullable=False),
        pa.field("first_seen", _TIMESTAMP, nullable=False),
        pa.field("last_changed", _TIMESTAMP, nullable=False),
        pa.field("revision", pa.int64(), nullable=False),
        *_LATER_COLUMNS,
    ]
)
"""The schema of the books table, with one row per book."""
CATEGORY_CODE = pa.field("category_code", pa.int32(), nullable=False)
"""An additional column in exports."""

OFFERS = pa.schema(
    [
        pa.field("source", _CATEGORICAL, nullable=False),
        pa.field("book_id", pa.string(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("authors", pa.list_(pa.string()), nullable=False),
        ("isbn13", pa.string()),
        ("category", _CATEGORICAL),
        ("description", pa.string()),
        ("language", _CATEGORICAL),
        pa.field("url", pa.string(), nullable=False),
        ("price_amount", _AMOUNT),
        ("price_currency", _CATEGORICAL),
        ("rating", pa.float64()),
        ("rating_count", pa.int64()),
        ("stock", pa.int64()),
        pa.field("in_stock", pa.bool_(), nullable=False),
        pa.field("first_seen", _TIMESTAMP, nullable=False),
        pa.field("revision", pa.int64(), nullable=False),
        *_LATER_COLUMNS,
    ]
)
"""The schema of the offers table, with one row per offer. Price, stock and first_seen belong to the offer."""


def parse_contents(contents: Sequence[bytes]) -> pa.Table:
    """Parses contents to a table with nested fields and one row per content. `{}` becomes a row of nulls."""
    if not contents:
        return _CONTENT.empty_table()
    longest = max(map(len, contents))
    table = pj.read_json(
        pa.BufferReader(b"\n".join(contents)),
        read_options=pj.ReadOptions(block_size=max(_BLOCK_BYTES, 2 * longest)),
        parse_options=pj.ParseOptions(explicit_schema=_CONTENT, unexpected_field_behavior="ignore"),
    )
    return table.combine_chunks()


def books_table(parsed: pa.Table) -> pa.Table:
    """Converts parsed contents to the schema `BOOKS`."""
    price = parsed["price"]
    columns = {
        **{name: parsed[name] for name in BOOKS.names if name in parsed.column_names},
        "book_id": parsed["id"],
        "price_amount": amounts(pc.struct_field(price, "amount")),
        "price_currency": pc.struct_field(price, "currency"),
        "sources": pa.ListArray.from_arrays(*_list_parts(parsed["offers"], "source")),
    }
    return _with_schema(columns, BOOKS)


def offers_table(parsed: pa.Table) -> pa.Table:
    """Converts parsed contents to the schema `OFFERS`, in the order of the books."""
    rows = pc.list_parent_indices(parsed["offers"])
    offer = pc.list_flatten(parsed["offers"])
    price = pc.struct_field(offer, "price")
    book = parsed.drop_columns(["offers", "price", "stock", "in_stock", "first_seen"]).take(rows)
    columns = {
        **{name: book[name] for name in OFFERS.names if name in book.column_names},
        **{name: pc.struct_field(offer, name) for name in ("source", "url", "stock", "in_stock", "first_seen")},
        "book_id": book["id"],
        "price_amount": amounts(pc.struct_field(price, "amount")),
        "price_currency": pc.struct_field(price, "currency"),
    }
    return _with_schema(columns, OFFERS)


def with_category_code(schema: pa.Schema) -> pa.Schema:
    """Inserts `category_code` after the category."""
    return schema.insert(schema.get_field_index("category") + 1, CATEGORY_CODE)


class CategoryCodes:
    """Assigns an integer to each category of an export, in the order of its first book.

    Codes are therefore available in a single pass, and a category keeps its code while the books before it do not
    change. The names are in memory while an export is written: one million categories need 150 MB.
    """

    def __init__(self) -> None:
        self.categories: dict[str, int] = {}

    def add_to(self, table: pa.Table) -> pa.Table:
        """Adds the column `category_code`. It is -1 if there is no category."""
        position = table.schema.get_field_index("category") + 1
        encoded = as_single_array(table["category"])
        used_names = encoded.dictionary.take(pc.drop_null(encoded.indices.unique()))
        for name in used_names.to_pylist():
            self.categories.setdefault(name, len(self.categories))
        codes = pa.array([self.categories.get(name, -1) for name in encoded.dictionary.to_pylist()], pa.int32())
        return table.add_column(position, CATEGORY_CODE, pc.fill_null(codes.take(encoded.indices), -1))


def amounts(text: Any) -> Any:
    """Converts decimal strings to exact decimals."""
    return pc.cast(text, _AMOUNT)


def for_csv(table: pa.Table) -> pa.Table:
    """Converts columns for CSV: lists to JSON, times to RFC 3339, decimals to text without trailing zeros."""
    columns = {}
    for field in table.schema:
        column = table[field.name]
        if pa.types.is_list(field.type):
            column = pa.array([None if row is None else orjson.dumps(row).decode() for row in column.to_pylist()])
        elif pa.types.is_timestamp(field.type):
            column = pc.strftime(column, format="%Y-%m-%dT%H:%M:%SZ")
        elif pa.types.is_decimal(field.type):
            text = pc.cast(column, pa.string())
            column = pc.replace_substring_regex(text, pattern=r"(\.\d\d)0{1,2}$", replacement=r"\1")
        elif pa.types.is_dictionary(field.type):
            column = pc.cast(column, pa.string())
        columns[field.name] = column.cast(pa.string()) if column.type == pa.null() else column
    return pa.table(columns)


def _list_parts(lists: pa.ChunkedArray, name: str) -> tuple[pa.Array, pa.Array]:
    """Returns the offsets of the lists and one field of their structs."""
    array = as_single_array(lists)
    return array.offsets, pc.struct_field(array.values, name)


def as_single_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Combines the chunks of a column, and their dictionaries if the values are dictionary-encoded."""
    if isinstance(column, pa.Array):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def _with_schema(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    arrays = []
    for field in schema:
        column = as_single_array(columns[field.name])
        arrays.append(column.dictionary_encode() if pa.types.is_dictionary(field.type) else column)
    return pa.Table.from_arrays(arrays, schema=schema)

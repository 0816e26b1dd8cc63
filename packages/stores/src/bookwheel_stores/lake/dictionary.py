"""The data dictionary of the exports: the meaning of their columns."""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa
from bookwheel_contracts import BookDetails

from bookwheel_stores.lake.book_tables import BOOKS, OFFERS, with_category_code

MEANINGS: Mapping[str, str] = MappingProxyType(
    {name: field.description or "" for name, field in BookDetails.model_fields.items()}
    | {
        "book_id": "The id of the book: isbn:<isbn13> if it has a valid ISBN, else <source>:<source key>.",
        "category_code": "The code of the category in categories.csv of the same version, -1 without a category.",
        "price_amount": "The price, an exact decimal. For a book, the lowest price of its offers in stock.",
        "price_currency": "The currency of the price, an ISO 4217 code. Do not compare amounts across currencies.",
        "stock": "The number of copies in stock. For a book, over all its offers. Missing if no page states a number.",
        "in_stock": "Whether the book or offer is in stock.",
        "sources": "The source of each offer.",
        "source": "The source of the offer.",
        "url": "The URL of the page.",
        "first_seen": "The time when the book or offer was first seen, in UTC.",
        "last_changed": "The time of the last change of the book, in UTC.",
        "revision": "The revision of the book, counted from 1.",
    }
)


def dictionary_table() -> pa.Table:
    """Returns one row per column of each table: table, column, type, missing, meaning."""
    rows = [
        {
            "table": name,
            "column": field.name,
            "type": _type_name(field.type),
            "missing": "empty field" if field.nullable else "never",
            "meaning": _meaning(field),
        }
        for name, schema in (("books", BOOKS), ("offers", OFFERS))
        for field in with_category_code(schema)
    ]
    return pa.Table.from_pylist(rows)


def _meaning(field: pa.Field) -> str:
    return MEANINGS[field.name] + (" A JSON list of strings in CSV." if pa.types.is_list(field.type) else "")


def _type_name(data_type: pa.DataType) -> str:
    if pa.types.is_dictionary(data_type):
        return "category"
    if pa.types.is_list(data_type):
        return "list of strings"
    if pa.types.is_timestamp(data_type):
        return "time, RFC 3339 in UTC"
    return {"bool": "true or false", "double": "float64"}.get(str(data_type), str(data_type))

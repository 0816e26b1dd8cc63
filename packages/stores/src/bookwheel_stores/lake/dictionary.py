"""The data dictionary of the exports: what their columns mean."""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa
from bookwheel_contracts import BookDetails

from bookwheel_stores.lake.book_tables import BOOKS, OFFERS, with_category_code

MEANINGS: Mapping[str, str] = MappingProxyType(
    {name: field.description or "" for name, field in BookDetails.model_fields.items()}
    | {
        "book_id": "The book: isbn:<isbn13> where its ISBN is known, else <source>:<the page's own key>.",
        "category_code": "The category as a whole number, -1 where there is none: see the version's categories.csv.",
        "price_amount": "The price, an exact decimal: of a book, the cheapest of its offers in stock.",
        "price_currency": "The price's currency, three letters as of ISO 4217. Amounts of two do not compare.",
        "stock": "Copies in stock: of a book, over all of its offers. Missing where no page tells a number.",
        "in_stock": "Whether it can be had now.",
        "sources": "The source of each offer.",
        "source": "The source that the page is of.",
        "url": "The page's address.",
        "first_seen": "When it was first seen, in UTC: the book, or in a table of offers the page.",
        "last_changed": "When what is known of the book last changed, in UTC.",
        "revision": "Counts the book's changes, from 1.",
    }
)


def dictionary_table() -> pa.Table:
    """A row for each column of each table: table, column, type, missing, meaning."""
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


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "category"
    if pa.types.is_list(kind):
        return "list of strings"
    if pa.types.is_timestamp(kind):
        return "time, RFC 3339 in UTC"
    return {"bool": "true or false", "double": "float64"}.get(str(kind), str(kind))

"""What the columns of the exports mean: the data dictionary that comes with every version."""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

from bookwheel_stores.lake.book_tables import BOOKS, OFFERS, coded

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "book_id": "The book: isbn:<isbn13> where its ISBN is known, else <source>:<the page's own key>.",
        "title": "The title, as the page that says most of the book has it.",
        "authors": "The authors in their order. A JSON list of strings in CSV.",
        "isbn13": "The ISBN, 13 digits. Text: it is no number.",
        "category": "The category, as the shop names it.",
        "category_code": "The category as a whole number, -1 where there is none: see the version's categories.csv.",
        "description": "The description, plain text with line breaks.",
        "language": "The language, as the shop names it.",
        "price_amount": "The price, an exact decimal: of a book, the cheapest of its offers in stock.",
        "price_currency": "The price's currency, three letters as of ISO 4217. Amounts of two do not compare.",
        "rating": "The rating, 0 to 5, of the page with most ratings.",
        "rating_count": "How many ratings it comes from.",
        "stock": "Copies in stock: of a book, over all of its offers. Missing where no page tells a number.",
        "in_stock": "Whether it can be had now.",
        "image_url": "The address of the cover.",
        "sources": "The source of each offer. A JSON list of strings in CSV.",
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
            "meaning": MEANINGS[field.name],
        }
        for name, schema in (("books", BOOKS), ("offers", OFFERS))
        for field in coded(schema)
    ]
    return pa.Table.from_pylist(rows)


def _type_name(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        return "category"
    if pa.types.is_list(kind):
        return "list of strings"
    if pa.types.is_timestamp(kind):
        return "time, RFC 3339 in UTC"
    return {"bool": "true or false", "double": "float64"}.get(str(kind), str(kind))

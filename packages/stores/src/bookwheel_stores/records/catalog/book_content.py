"""Renders the content of a book as JSON when the book changes, for storage in the change feed."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import orjson
from bookwheel_contracts import BOOK_DETAILS, LATER_DETAILS, BookDetails
from bookwheel_contracts.model import format_time
from sqlalchemy import Connection, select

from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.tables import book, offer
from bookwheel_stores.records.values import from_millis, money

_LIST_FIELDS = [name for name, kind in BOOK_DETAILS.items() if kind is tuple]
_get_details = attrgetter(*BOOK_DETAILS)
_offer_columns = [
    offer.c[name]
    for name in ("book_number", "source", "source_key", "url", "price", "currency", "stock", "in_stock", "first_seen")
]


def detail_columns(details: BookDetails) -> dict[str, Any]:
    """Converts details to columns of the table `book`. Lists become JSON."""
    columns = dict(zip(BOOK_DETAILS, _get_details(details), strict=True))
    for name in _LIST_FIELDS:
        columns[name] = orjson.dumps(columns[name]).decode()
    return columns


def details_from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Converts a row of the table `book` to fields of `BookDetails`."""
    details = {name: row[name] for name in BOOK_DETAILS}
    for name in _LIST_FIELDS:
        details[name] = tuple(orjson.loads(details[name]))
    return details


def render_content(book_row: Mapping[str, Any], offer_rows: Sequence[Mapping[str, Any]]) -> str:
    """Renders rows of the tables `book` and `offer` as the JSON of a `BookContent`. Offers may be in any order."""
    ordered = sorted(offer_rows, key=_offer_key) if len(offer_rows) > 1 else offer_rows
    details = {name: book_row[name] for name in BOOK_DETAILS}
    for name in _LIST_FIELDS:
        details[name] = orjson.Fragment(details[name])
    content = {
        "id": book_row["book_id"],
        **details,
        "price": _price(book_row["price"], book_row["currency"]),
        "stock": book_row["stock"],
        "in_stock": book_row["in_stock"],
        "offers": [_offer_content(row) for row in ordered],
        "first_seen": format_time(from_millis(book_row["first_seen"])),
        "last_changed": format_time(from_millis(book_row["last_changed"])),
        "revision": book_row["revision"],
    }
    return orjson.dumps(content).decode()


def add_missing_fields(content: str) -> str:
    """Adds fields that content of earlier releases lacks, as null."""
    missing = [name for name in LATER_DETAILS if f'"{name}":' not in content]
    return content[:-1] + "".join(f',"{name}":null' for name in missing) + "}" if missing else content


def render_contents(connection: Connection, book_numbers: Collection[int]) -> dict[int, str]:
    """Returns the current content of books by number. A removed book has no offers."""
    numbers = list(book_numbers)
    in_values = dialect_of(connection).in_values
    offers_by_book: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    live_offers = select(*_offer_columns).where(in_values(offer.c.book_number, numbers), offer.c.removed_at.is_(None))
    for row in connection.execute(live_offers).mappings():
        offers_by_book[row["book_number"]].append(dict(row))
    books = connection.execute(select(book).where(in_values(book.c.number, numbers))).mappings()
    return {row["number"]: render_content(dict(row), offers_by_book[row["number"]]) for row in books}


def _offer_key(row: Mapping[str, Any]) -> tuple[str, str]:
    return row["source"], row["source_key"]


def _offer_content(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": row["source"],
        "url": row["url"],
        "price": _price(row["price"], row["currency"]),
        "stock": row["stock"],
        "in_stock": row["in_stock"],
        "first_seen": format_time(from_millis(row["first_seen"])),
    }


@lru_cache(maxsize=65536)
def _price(units: int | None, currency: str | None) -> orjson.Fragment | None:
    amount = money(units, currency)
    return None if amount is None else orjson.Fragment(amount.model_dump_json())

"""A book's content as JSON: made once when it changes, and carried by the change feed to whoever keeps a copy."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

import orjson
from bookwheel_contracts.model import format_time
from sqlalchemy import Connection, select

from bookwheel_stores.records.database.bulk import in_values
from bookwheel_stores.records.tables import book, offer
from bookwheel_stores.records.values import from_millis, money


def book_content(known: Mapping[str, Any], offers: Sequence[Mapping[str, Any]]) -> str:
    """The JSON of a `BookContent`. `known` and `offers` have the columns of their tables, the offers in any order."""
    ranked = sorted(offers, key=_identity) if len(offers) > 1 else offers
    content = {
        "id": known["book_id"],
        "title": known["title"],
        "authors": orjson.Fragment(known["authors"]),
        "isbn13": known["isbn13"],
        "category": known["category"],
        "description": known["description"],
        "language": known["language"],
        "price": _price(known["price"], known["currency"]),
        "rating": known["rating"],
        "rating_count": known["rating_count"],
        "stock": known["stock"],
        "in_stock": known["in_stock"],
        "image_url": known["image_url"],
        "offers": [_offer_content(each) for each in ranked],
        "first_seen": format_time(from_millis(known["first_seen"])),
        "last_changed": format_time(from_millis(known["last_changed"])),
        "revision": known["revision"],
    }
    return orjson.dumps(content).decode()


def contents_now(connection: Connection, book_numbers: Collection[int]) -> dict[int, str]:
    """The content of these books as the tables have them, by number; a removed one has no offers."""
    numbers = list(book_numbers)
    offers: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    wanted = in_values(connection, offer.c.book_number, numbers) & offer.c.removed_at.is_(None)
    for row in connection.execute(select(*_shown).where(wanted)).mappings():
        offers[row["book_number"]].append(dict(row))
    books = connection.execute(select(*_told).where(in_values(connection, book.c.number, numbers))).mappings()
    return {row["number"]: book_content(dict(row), offers[row["number"]]) for row in books}


# By name, for a migration calls this too: it must not ask for columns that a later one adds.
_told = [book.c[name] for name in ("number", "book_id", "title", "authors", "isbn13", "category", "description")]
_told += [book.c[name] for name in ("language", "price", "currency", "rating", "rating_count", "stock", "in_stock")]
_told += [book.c[name] for name in ("image_url", "first_seen", "last_changed", "revision")]
_shown = [
    offer.c[name]
    for name in ("book_number", "source", "source_key", "url", "price", "currency", "stock", "in_stock", "first_seen")
]


def _identity(row: Mapping[str, Any]) -> tuple[str, str]:
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

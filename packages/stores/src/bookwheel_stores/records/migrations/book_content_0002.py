"""Renders the content of books for revision 0002, without columns that later revisions add."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import sqlalchemy as sa

from bookwheel_stores.records.values import money

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BOOKS = sa.text(
    "SELECT number, book_id, title, authors, isbn13, category, description, language, price, currency, rating,"
    " rating_count, stock, in_stock, image_url, first_seen, last_changed, revision FROM book WHERE number IN :numbers"
).bindparams(sa.bindparam("numbers", expanding=True))
_OFFERS = sa.text(
    "SELECT book_number, source, source_key, url, price, currency, stock, in_stock, first_seen FROM offer"
    " WHERE removed_at IS NULL AND book_number IN :numbers"
).bindparams(sa.bindparam("numbers", expanding=True))


def render_contents(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, str]:
    """Returns the current content of books by number."""
    offers_by_book: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in connection.execute(_OFFERS, {"numbers": list(numbers)}).mappings():
        offers_by_book[row["book_number"]].append(dict(row))
    books = connection.execute(_BOOKS, {"numbers": list(numbers)}).mappings()
    return {row["number"]: _content(dict(row), offers_by_book[row["number"]]) for row in books}


def _content(book: Mapping[str, Any], offers: Sequence[Mapping[str, Any]]) -> str:
    details = {
        name: book[name] for name in ("title", "isbn13", "category", "description", "language", "rating", "image_url")
    }
    content = {
        "id": book["book_id"],
        **details,
        "authors": orjson.Fragment(book["authors"]),
        "rating_count": book["rating_count"],
        "price": _price(book),
        "stock": book["stock"],
        "in_stock": bool(book["in_stock"]),
        "offers": [_offer(row) for row in sorted(offers, key=lambda row: (row["source"], row["source_key"]))],
        "first_seen": _time(book["first_seen"]),
        "last_changed": _time(book["last_changed"]),
        "revision": book["revision"],
    }
    return orjson.dumps(content).decode()


def _offer(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "source": row["source"],
        "url": row["url"],
        "price": _price(row),
        "stock": row["stock"],
        "in_stock": bool(row["in_stock"]),
        "first_seen": _time(row["first_seen"]),
    }


def _price(row: Mapping[str, Any]) -> orjson.Fragment | None:
    amount = money(row["price"], row["currency"])
    return None if amount is None else orjson.Fragment(amount.model_dump_json())


def _time(millis: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=millis)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

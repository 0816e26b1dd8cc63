"""Reads books, their history and their prices."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import Book, Change, Observation
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, tuple_

from bookwheel_stores.records.catalog.price_trend import Interval, PricePoint, price_trend
from bookwheel_stores.records.database.bulk import in_values
from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import change_from_row, select_changes
from bookwheel_stores.records.tables import book, change, observation, offer
from bookwheel_stores.records.values import from_millis, money, to_millis

_CHUNK = 5000
"""Values in one IN: SQLite takes 32,766 parameters in a statement."""
_books: TypeAdapter[list[Book]] = TypeAdapter(list[Book])


class ObservationCursor(NamedTuple):
    """Where an observation stands among those of its book: offers may be observed in the same millisecond."""

    observed_at: int
    """In milliseconds since 1970."""
    number: int


class NumberedObservation(Observation):
    """`number` is its unique integer in the records, and not part of the public API."""

    number: int

    @property
    def cursor(self) -> ObservationCursor:
        return ObservationCursor(to_millis(self.observed_at), self.number)


class BookReader:
    """Each call sees one consistent snapshot. Removed books are not shown."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, book_id: str) -> Book | None:
        return self.get_many([book_id]).get(book_id)

    def get_many(self, book_ids: Sequence[str]) -> dict[str, Book]:
        """The living ones of `book_ids`, by id."""
        found: dict[str, Book] = {}
        with read_connection(self._engine) as connection:
            for start in range(0, len(book_ids), _CHUNK):
                chunk = list(book_ids[start : start + _CHUNK])
                found.update((one.id, one) for one in _read(connection, in_values(connection, book.c.book_id, chunk)))
        return found

    def page(self, *, after_number: int, limit: int) -> list[Book]:
        """Living books by number, ascending: for whoever goes through all of them."""
        with read_connection(self._engine) as connection:
            numbers = (
                select(book.c.number)
                .where(book.c.number > after_number, book.c.removed_at.is_(None))
                .order_by(book.c.number)
                .limit(limit)
            )
            return _read(connection, book.c.number.in_(numbers))

    def removed_at(self, book_id: str) -> datetime | None:
        """Since when a book is removed; None for one that is not, or never was."""
        with read_connection(self._engine) as connection:
            moment = connection.scalar(select(book.c.removed_at).where(book.c.book_id == book_id))
        return None if moment is None else from_millis(moment)

    def count(self) -> int:
        with read_connection(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(book).where(book.c.removed_at.is_(None))) or 0

    def fingerprint(self) -> str:
        """Another one after any change of the catalog, at the cost of one row."""
        with read_connection(self._engine) as connection:
            last = connection.execute(
                select(change.c.sequence, change.c.changed_at).order_by(change.c.sequence.desc()).limit(1)
            ).first()
        return f"{last.sequence}-{last.changed_at}" if last else "0-0"

    def list_observations(
        self, book_id: str, *, limit: int, before: ObservationCursor | None = None
    ) -> list[NumberedObservation]:
        """Prices and stocks of all of the book's offers, newest first; `before` excludes the one at that place."""
        query = (
            select(observation, offer.c.source, offer.c.source_key)
            .join(offer, offer.c.number == observation.c.offer_number)
            .join(book, book.c.number == offer.c.book_number)
            .where(book.c.book_id == book_id)
            .order_by(observation.c.observed_at.desc(), observation.c.number.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(tuple_(observation.c.observed_at, observation.c.number) < before)
        with read_connection(self._engine) as connection:
            return [_observation_from_row(row) for row in connection.execute(query)]

    def list_changes(self, book_id: str, *, limit: int, before_sequence: int | None = None) -> list[Change]:
        """The book's entries of the change feed, newest first, those of a removed book included."""
        query = select_changes().where(book.c.book_id == book_id).order_by(change.c.sequence.desc()).limit(limit)
        if before_sequence is not None:
            query = query.where(change.c.sequence < before_sequence)
        with read_connection(self._engine) as connection:
            return [change_from_row(row) for row in connection.execute(query)]

    def price_trend(
        self, *, book_numbers: Sequence[int] | None, interval: Interval, start: datetime, end: datetime
    ) -> list[PricePoint]:
        """The offers' prices in force at the end of each day, week (from Monday) or month of [start, end].

        Of the books with these numbers, or of all. Raises ValueError for more than 400 intervals.
        """
        with read_connection(self._engine) as connection:
            return price_trend(connection, book_numbers=book_numbers, interval=interval, start=start, end=end)


def _read(connection: Connection, condition: ColumnElement[bool]) -> list[Book]:
    condition = condition & book.c.removed_at.is_(None)
    rows = connection.execute(select(book).where(condition).order_by(book.c.number)).all()
    offers = _offers(connection, [row.number for row in rows])
    return _books.validate_python([_book(row, offers[row.number]) for row in rows])


def _offers(connection: Connection, book_numbers: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for start in range(0, len(book_numbers), _CHUNK):
        query = _select_offers.where(in_values(connection, offer.c.book_number, book_numbers[start : start + _CHUNK]))
        for row in connection.execute(query):
            found[row.book_number].append(_offer(row))
    return found


_select_offers = select(
    *(offer.c[name] for name in ("book_number", "source", "source_key", "url", "price", "currency")),
    *(offer.c[name] for name in ("stock", "in_stock", "first_seen", "last_seen")),
)
_select_offers = _select_offers.where(offer.c.removed_at.is_(None)).order_by(offer.c.source, offer.c.source_key)


def _offer(row: Row[Any]) -> dict[str, Any]:
    return {
        "source": row.source,
        "source_key": row.source_key,
        "url": row.url,
        "price": money(row.price, row.currency),
        "stock": row.stock,
        "in_stock": row.in_stock,
        "first_seen": from_millis(row.first_seen),
        "last_seen": from_millis(row.last_seen),
    }


def _book(row: Row[Any], offers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": row.book_id,
        "number": row.number,
        "title": row.title,
        "authors": tuple(orjson.loads(row.authors)),
        "isbn13": row.isbn13,
        "category": row.category,
        "description": row.description,
        "language": row.language,
        "price": money(row.price, row.currency),
        "rating": row.rating,
        "rating_count": row.rating_count,
        "stock": row.stock,
        "in_stock": row.in_stock,
        "image_url": row.image_url,
        "offers": offers,
        "first_seen": from_millis(row.first_seen),
        "last_seen": max((one["last_seen"] for one in offers), default=from_millis(row.last_changed)),
        "last_changed": from_millis(row.last_changed),
        "revision": row.revision,
    }


def _observation_from_row(row: Row[Any]) -> NumberedObservation:
    return NumberedObservation(
        number=row.number,
        source=row.source,
        source_key=row.source_key,
        observed_at=from_millis(row.observed_at),
        price=money(row.price, row.currency),
        stock=row.stock,
        in_stock=row.in_stock,
    )

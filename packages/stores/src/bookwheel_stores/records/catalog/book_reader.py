"""Reads books, their history and their prices."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bookwheel_contracts import Book, Change, Observation
from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Connection, Engine, Row, func, select, tuple_

from bookwheel_stores.records.catalog.book_content import details_from_row
from bookwheel_stores.records.catalog.price_trend import Interval, PricePoint, price_trend
from bookwheel_stores.records.database.connection import dialect_of, read_connection, time_limit
from bookwheel_stores.records.feed.change_feed import change_from_row, select_changes
from bookwheel_stores.records.tables import book, change, observation, offer
from bookwheel_stores.records.values import from_millis, money, to_millis

_CHUNK = 5000
"""The maximum number of values in one IN. SQLite allows 32,766 parameters in a statement."""
_book_list_adapter: TypeAdapter[list[Book]] = TypeAdapter(list[Book])


class ObservationCursor(NamedTuple):
    """The position of an observation of a book. The number breaks ties of offers observed in the same millisecond."""

    observed_at: int
    """Milliseconds since 1970."""
    number: int


class NumberedObservation(Observation):
    """An observation with its number. The number is not part of the public API."""

    number: int

    @property
    def cursor(self) -> ObservationCursor:
        return ObservationCursor(to_millis(self.observed_at), self.number)


class BookReader:
    """Reads books. Each call reads one consistent snapshot and omits removed books."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, book_id: str) -> Book | None:
        return self.get_many([book_id]).get(book_id)

    def get_many(self, book_ids: Sequence[str]) -> dict[str, Book]:
        """Returns the existing books of `book_ids`, by id."""
        books: dict[str, Book] = {}
        in_values = dialect_of(self._engine).in_values
        with read_connection(self._engine) as connection:
            for start in range(0, len(book_ids), _CHUNK):
                chunk = list(book_ids[start : start + _CHUNK])
                books.update((item.id, item) for item in _read(connection, in_values(book.c.book_id, chunk)))
        return books

    def page(self, *, after_number: int, limit: int) -> list[Book]:
        """Returns the next page of all books, ordered by number."""
        with read_connection(self._engine) as connection:
            numbers = (
                select(book.c.number)
                .where(book.c.number > after_number, book.c.removed_at.is_(None))
                .order_by(book.c.number)
                .limit(limit)
            )
            return _read(connection, book.c.number.in_(numbers))

    def removed_at(self, book_id: str) -> datetime | None:
        """Returns the time when a book was removed; None if the book exists or never existed."""
        with read_connection(self._engine) as connection:
            removed_at = connection.scalar(select(book.c.removed_at).where(book.c.book_id == book_id))
        return None if removed_at is None else from_millis(removed_at)

    def count(self) -> int:
        with read_connection(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(book).where(book.c.removed_at.is_(None))) or 0

    def list_observations(
        self, book_id: str, *, limit: int, before: ObservationCursor | None = None
    ) -> list[NumberedObservation]:
        """Returns observations of all offers of the book before the position `before`, newest first."""
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
        """Returns the changes of a book, also of a removed book, newest first."""
        query = select_changes().where(book.c.book_id == book_id).order_by(change.c.sequence.desc()).limit(limit)
        if before_sequence is not None:
            query = query.where(change.c.sequence < before_sequence)
        with read_connection(self._engine) as connection:
            return [change_from_row(row) for row in connection.execute(query)]

    def price_trend(
        self,
        *,
        book_numbers: Sequence[int] | None,
        interval: Interval,
        start: datetime,
        end: datetime,
        timeout_seconds: float = 60.0,
    ) -> list[PricePoint]:
        """Returns the prices that were current at the end of each interval between `start` and `end`.

        An interval is a day, a week from Monday, or a month. If `book_numbers` is None, all books count.
        Raises ValueError for more than 400 intervals, TimeoutError if the database takes longer than `timeout_seconds`.
        """
        with read_connection(self._engine) as connection, time_limit(connection, timeout_seconds):
            return price_trend(connection, book_numbers=book_numbers, interval=interval, start=start, end=end)


def _read(connection: Connection, condition: ColumnElement[bool]) -> list[Book]:
    query = select(book).where(condition, book.c.removed_at.is_(None)).order_by(book.c.number)
    rows = connection.execute(query).mappings().all()
    offers = _offers_by_book(connection, [row["number"] for row in rows])
    return _book_list_adapter.validate_python([_book(dict(row), offers[row["number"]]) for row in rows])


def _offers_by_book(connection: Connection, book_numbers: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    offers: dict[int, list[dict[str, Any]]] = defaultdict(list)
    in_values = dialect_of(connection).in_values
    for start in range(0, len(book_numbers), _CHUNK):
        query = _select_offers.where(in_values(offer.c.book_number, book_numbers[start : start + _CHUNK]))
        for row in connection.execute(query):
            offers[row.book_number].append(_offer(row))
    return offers


_offer_columns = (
    *("book_number", "source", "source_key", "url", "price", "currency"),
    *("stock", "in_stock", "first_seen", "last_seen"),
)
_select_offers = (
    select(*(offer.c[name] for name in _offer_columns))
    .where(offer.c.removed_at.is_(None))
    .order_by(offer.c.source, offer.c.source_key)
)


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


def _book(row: Mapping[str, Any], offers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    last_changed = from_millis(row["last_changed"])
    return {
        **details_from_row(row),
        "id": row["book_id"],
        "number": row["number"],
        "price": money(row["price"], row["currency"]),
        "stock": row["stock"],
        "in_stock": row["in_stock"],
        "offers": offers,
        "first_seen": from_millis(row["first_seen"]),
        "last_seen": max((item["last_seen"] for item in offers), default=last_changed),
        "last_changed": last_changed,
        "revision": row["revision"],
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

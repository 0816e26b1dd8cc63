"""Writes books, offers, observations and changes in batches, inside the caller's transaction.

Rows are dictionaries by column name and are passed to the driver without conversion. Rows are locked and inserted in
the order of their keys, so concurrent writers do not deadlock. Locks are held until the end of the transaction. Two
writers that insert the same book or offer conflict: see `in_transaction`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

from sqlalchemy import Connection, or_, select, update

from bookwheel_stores.records.database.connection import dialect_of, lock_catalog, lock_feed
from bookwheel_stores.records.database.dialect import Row
from bookwheel_stores.records.feed.change_feed import feed_head
from bookwheel_stores.records.tables import book, change, observation, offer

OfferKey = tuple[str, str]
"""The source and the source key of an offer."""
T = TypeVar("T")
_CHUNK = 1000
_offer_columns = [column for column in offer.c if column.name != "content"]  # `content` is large and rarely needed


class CatalogWriter:
    """Call `lock` first and `add_changes` last, because `add_changes` blocks all other writers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = dialect_of(connection)

    def lock(self, *, exclusive: bool = False) -> None:
        """Locks the catalog for this transaction.

        `exclusive` is for transactions that cannot lock all their rows in the order of their keys.
        """
        lock_catalog(self._connection, exclusive=exclusive)

    def lock_offers(self, keys: Collection[OfferKey]) -> dict[OfferKey, Row]:
        """Locks and returns the existing offers with these keys, without their content."""
        keys_by_source: dict[str, list[str]] = defaultdict(list)
        for source, source_key in sorted(keys):
            keys_by_source[source].append(source_key)
        offers: dict[OfferKey, Row] = {}
        for source, source_keys in keys_by_source.items():
            for chunk in _chunks(source_keys):
                has_key = (offer.c.source == source) & self._dialect.in_values(offer.c.source_key, chunk)
                query = select(*_offer_columns).where(has_key).order_by(offer.c.source_key)
                for row in self._connection.execute(query.with_for_update(key_share=True)).mappings():
                    offers[source, row["source_key"]] = dict(row)
        return offers

    def list_offers(self, book_numbers: Collection[int]) -> dict[int, list[Row]]:
        """Returns the current offers of these books with their content.

        No locks are needed, because every writer locks the book before it changes these columns.
        """
        offers: dict[int, list[Row]] = defaultdict(list)
        for chunk in _chunks(book_numbers):
            belongs_to_books = self._dialect.in_values(offer.c.book_number, chunk)
            query = select(offer).where(belongs_to_books, offer.c.removed_at.is_(None))
            for row in self._connection.execute(query).mappings():
                offers[row["book_number"]].append(dict(row))
        return offers

    def first_seen_by_offer(self, book_numbers: Collection[int]) -> dict[int, dict[OfferKey, int]]:
        """Returns the times when the offers of these books were first seen, including removed offers."""
        first_seen: dict[int, dict[OfferKey, int]] = defaultdict(dict)
        columns = [offer.c[name] for name in ("book_number", "source", "source_key", "first_seen")]
        for chunk in _chunks(book_numbers):
            query = select(*columns).where(self._dialect.in_values(offer.c.book_number, chunk))
            for number, source, source_key, seen_at in self._connection.execute(query):
                first_seen[number][source, source_key] = seen_at
        return first_seen

    def lock_books(self, book_ids: Collection[str], book_numbers: Collection[int]) -> dict[str, Row]:
        """Locks and returns the existing books with these ids or numbers, by id, including removed books."""
        in_values = self._dialect.in_values
        conditions = [in_values(book.c.book_id, book_ids)] if book_ids else []
        conditions += [in_values(book.c.number, book_numbers)] if book_numbers else []
        if not conditions:
            return {}
        query = select(book).where(or_(*conditions)).order_by(book.c.book_id).with_for_update(key_share=True)
        return {row["book_id"]: dict(row) for row in self._connection.execute(query).mappings()}

    def add_books(self, rows: Sequence[Row]) -> dict[str, int]:
        """Inserts books in the order of their ids. Returns their new numbers by id."""
        ordered = sorted(rows, key=lambda row: row["book_id"])
        numbers = self._dialect.insert_returning_ids(self._connection, book.c.number, ordered)
        return {row["book_id"]: number for row, number in zip(ordered, numbers, strict=True)}

    def update_books(self, rows: Sequence[Row]) -> None:
        """Updates books by `number`. All rows have the same columns."""
        self._dialect.update_rows(self._connection, rows, key_column=book.c.number)

    def add_offers(self, rows: Sequence[Row]) -> dict[OfferKey, int]:
        """Inserts offers in the order of their keys. Returns their new numbers by key."""
        ordered = sorted(rows, key=lambda row: (row["source"], row["source_key"]))
        numbers = self._dialect.insert_returning_ids(self._connection, offer.c.number, ordered)
        return {(row["source"], row["source_key"]): number for row, number in zip(ordered, numbers, strict=True)}

    def update_offers(self, rows: Sequence[Row]) -> None:
        """Updates offers by `number`. All rows have the same columns."""
        self._dialect.update_rows(self._connection, rows, key_column=offer.c.number)

    def remove_offers(self, offer_numbers: Collection[int], *, removed_at: int) -> None:
        """Marks offers as removed and supersedes their current observations."""
        for chunk in _chunks(offer_numbers):
            is_current = observation.c.offer_number.in_(chunk) & observation.c.superseded_at.is_(None)
            self._connection.execute(update(observation).where(is_current).values(superseded_at=removed_at))
            self._connection.execute(update(offer).where(offer.c.number.in_(chunk)).values(removed_at=removed_at))

    def add_observations(self, rows: Sequence[Row], *, superseding: Collection[int]) -> None:
        """Adds observations. For the offers in `superseding`, the current observations are superseded."""
        superseded = [
            {"offer_number": row["offer_number"], "superseded_at": row["observed_at"]}
            for row in rows
            if row["offer_number"] in superseding
        ]
        is_current = observation.c.superseded_at.is_(None)
        self._dialect.update_rows(
            self._connection, superseded, key_column=observation.c.offer_number, condition=is_current
        )
        self._dialect.insert_rows(self._connection, observation, rows)

    def add_changes(self, rows: Sequence[Row]) -> int:
        """Appends to the change feed. Returns the last sequence; 0 for an empty batch."""
        if not rows:
            return 0
        lock_feed(self._connection)
        self._dialect.insert_rows(self._connection, change, rows)
        return feed_head(self._connection)


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk

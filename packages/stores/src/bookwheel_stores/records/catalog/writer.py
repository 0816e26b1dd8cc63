"""What the processor does to books and offers, in statements over whole batches.

Every method works inside the caller's transaction. Rows are plain dictionaries under the columns' names: a batch of
them goes to the driver as it is. What is read is locked until the transaction ends, in the order of its keys, and what
is new is inserted in that order: so any number of writers get by without a deadlock. Two of them that insert the same
book or offer collide, see `database.in_transaction`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, or_, select, update

from bookwheel_stores.records.database.bulk import in_values, insert_numbered, insert_rows, update_rows
from bookwheel_stores.records.database.connection import lock_catalog
from bookwheel_stores.records.feed.change_feed import feed_head, lock_feed
from bookwheel_stores.records.tables import book, change, observation, offer

Row = dict[str, Any]
OfferKey = tuple[str, str]
"""An offer's source and source_key."""
T = TypeVar("T")
_CHUNK = 1000
_known_offer = [column for column in offer.c if column.name != "content"]  # long, and rarely needed


class CatalogWriter:
    """Call `lock` first, and `add_changes` last: other writers wait for whoever has added to the feed."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def lock(self, *, exclusive: bool = False) -> None:
        """Locks the catalog for this transaction.

        `exclusive`: for a transaction that cannot lock its rows in one step in the order of their keys.
        """
        lock_catalog(self._connection, exclusive=exclusive)

    def lock_offers(self, keys: Collection[OfferKey]) -> dict[OfferKey, Row]:
        """The known ones of these offers, without their content."""
        by_source: dict[str, list[str]] = defaultdict(list)
        for source, source_key in sorted(keys):
            by_source[source].append(source_key)
        found: dict[OfferKey, Row] = {}
        for source, source_keys in by_source.items():
            for chunk in _chunks(source_keys):
                wanted = (offer.c.source == source) & in_values(self._connection, offer.c.source_key, chunk)
                query = select(*_known_offer).where(wanted).order_by(offer.c.source_key).with_for_update(key_share=True)
                for row in self._connection.execute(query).mappings():
                    found[source, row["source_key"]] = dict(row)
        return found

    def list_offers(self, book_numbers: Collection[int]) -> dict[int, list[Row]]:
        """The offers that these books have, with their content. Without locks: nobody changes what a book shows of an
        offer who has not locked the book."""
        found: dict[int, list[Row]] = defaultdict(list)
        for chunk in _chunks(book_numbers):
            query = select(offer).where(
                in_values(self._connection, offer.c.book_number, chunk), offer.c.removed_at.is_(None)
            )
            for row in self._connection.execute(query).mappings():
                found[row["book_number"]].append(dict(row))
        return found

    def first_seen_by_offer(self, book_numbers: Collection[int]) -> dict[int, dict[OfferKey, int]]:
        """Since when the offers are known that these books have, or had until they were removed."""
        found: dict[int, dict[OfferKey, int]] = defaultdict(dict)
        columns = [offer.c[name] for name in ("book_number", "source", "source_key", "first_seen")]
        for chunk in _chunks(book_numbers):
            query = select(*columns).where(in_values(self._connection, offer.c.book_number, chunk))
            for number, source, source_key, seen_at in self._connection.execute(query):
                found[number][source, source_key] = seen_at
        return found

    def lock_books(self, book_ids: Collection[str], book_numbers: Collection[int]) -> dict[str, Row]:
        """The known ones of the books with these ids or these numbers, removed ones included, by id."""
        wanted = [in_values(self._connection, book.c.book_id, book_ids)] if book_ids else []
        wanted += [in_values(self._connection, book.c.number, book_numbers)] if book_numbers else []
        if not wanted:
            return {}
        query = select(book).where(or_(*wanted)).order_by(book.c.book_id).with_for_update(key_share=True)
        return {row["book_id"]: dict(row) for row in self._connection.execute(query).mappings()}

    def add_books(self, rows: Sequence[Row]) -> dict[str, int]:
        """Inserts books without a number, in the order of their ids; returns the numbers they got, by id."""
        ordered = sorted(rows, key=lambda row: row["book_id"])
        numbers = insert_numbered(self._connection, book.c.number, ordered)
        return {row["book_id"]: number for row, number in zip(ordered, numbers, strict=True)}

    def update_books(self, rows: Sequence[Row]) -> None:
        """Each row has the book's `number` and every column to set; all rows the same columns."""
        update_rows(self._connection, rows, by=book.c.number)

    def add_offers(self, rows: Sequence[Row]) -> dict[OfferKey, int]:
        """Inserts offers without a number, in the order of their keys; returns the numbers they got."""
        ordered = sorted(rows, key=lambda row: (row["source"], row["source_key"]))
        numbers = insert_numbered(self._connection, offer.c.number, ordered)
        return {(row["source"], row["source_key"]): number for row, number in zip(ordered, numbers, strict=True)}

    def update_offers(self, rows: Sequence[Row]) -> None:
        """Each row has the offer's `number` and every column to set; all rows the same columns."""
        update_rows(self._connection, rows, by=offer.c.number)

    def remove_offers(self, offer_numbers: Collection[int], *, moment: int) -> None:
        """Marks offers as removed, and ends what was in force of them."""
        for chunk in _chunks(offer_numbers):
            ended = (observation.c.offer_number.in_(chunk)) & observation.c.superseded_at.is_(None)
            self._connection.execute(update(observation).where(ended).values(superseded_at=moment))
            self._connection.execute(update(offer).where(offer.c.number.in_(chunk)).values(removed_at=moment))

    def add_observations(self, rows: Sequence[Row], *, superseding: Collection[int]) -> None:
        """Adds observations; for the offers `superseding`, what was in force before ends with them."""
        ended = [
            {"offer_number": row["offer_number"], "superseded_at": row["observed_at"]}
            for row in rows
            if row["offer_number"] in superseding
        ]
        in_force = observation.c.superseded_at.is_(None)
        update_rows(self._connection, ended, by=observation.c.offer_number, only=in_force)
        insert_rows(self._connection, observation, rows)

    def add_changes(self, rows: Sequence[Row]) -> int:
        """Appends to the change feed; returns the last one's sequence, 0 for none."""
        if not rows:
            return 0
        lock_feed(self._connection)
        insert_rows(self._connection, change, rows)
        return feed_head(self._connection)


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk

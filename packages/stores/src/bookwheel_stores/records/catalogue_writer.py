"""What the processor does to books and offers, in statements over whole batches.

Every method works inside the caller's transaction. Rows are plain dictionaries under the columns' names: a batch of
them goes to the driver as it is.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Table, bindparam, func, select, update

from bookwheel_stores.records.bulk import insert_rows
from bookwheel_stores.records.change_feed import feed_head
from bookwheel_stores.records.tables import book, change, observation, offer

Row = dict[str, Any]
OfferKey = tuple[str, str]
"""An offer's source and source_key."""
T = TypeVar("T")
_CHUNK = 1000
_known_offer = [column for column in offer.c if column.name != "content"]  # long, and rarely needed


class CatalogueWriter:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def offers(self, keys: Collection[OfferKey]) -> dict[OfferKey, Row]:
        """The known ones of these offers, without their content."""
        by_source: dict[str, list[str]] = defaultdict(list)
        for source, source_key in keys:
            by_source[source].append(source_key)
        found: dict[OfferKey, Row] = {}
        for source, source_keys in by_source.items():
            for chunk in _chunks(source_keys):
                query = select(*_known_offer).where(offer.c.source == source, offer.c.source_key.in_(chunk))
                for row in self._connection.execute(query).mappings():
                    found[source, row["source_key"]] = dict(row)
        return found

    def offers_of(self, book_numbers: Collection[int]) -> dict[int, list[Row]]:
        """All offers of these books, with their content."""
        found: dict[int, list[Row]] = defaultdict(list)
        for chunk in _chunks(book_numbers):
            for row in self._connection.execute(select(offer).where(offer.c.book_number.in_(chunk))).mappings():
                found[row["book_number"]].append(dict(row))
        return found

    def books(self, book_ids: Collection[str], book_numbers: Collection[int]) -> dict[str, Row]:
        """The known ones of the books with these ids or these numbers, removed ones included, by id."""
        conditions = [book.c.book_id.in_(chunk) for chunk in _chunks(book_ids)]
        conditions += [book.c.number.in_(chunk) for chunk in _chunks(book_numbers)]
        found: dict[str, Row] = {}
        for condition in conditions:
            for row in self._connection.execute(select(book).where(condition)).mappings():
                found[row["book_id"]] = dict(row)
        return found

    def add_books(self, rows: Sequence[Row]) -> dict[str, int]:
        """Inserts books without a number; returns the numbers they got, by id."""
        added = self._insert_numbered(book, rows, book.c.book_id)
        return {row[0]: row[1] for row in added}

    def update_books(self, rows: Sequence[Row]) -> None:
        """Each row has the book's `number` and every column to set; all rows the same columns."""
        self._update(book, rows)

    def add_offers(self, rows: Sequence[Row]) -> dict[OfferKey, int]:
        """Inserts offers without a number; returns the numbers they got."""
        added = self._insert_numbered(offer, rows, offer.c.source, offer.c.source_key)
        return {(source, source_key): number for source, source_key, number in added}

    def update_offers(self, rows: Sequence[Row]) -> None:
        """Each row has the offer's `number` and every column to set; all rows the same columns."""
        self._update(offer, rows)

    def observe(self, rows: Sequence[Row], *, superseding: Collection[int]) -> None:
        """Adds observations; for the offers `superseding`, what was in force before ends with them."""
        ended = [
            {"of_offer": row["offer_number"], "moment": row["observed_at"]}
            for row in rows
            if row["offer_number"] in superseding
        ]
        if ended:
            self._connection.execute(_supersede, ended)
        insert_rows(self._connection, observation, rows)

    def add_changes(self, rows: Sequence[Row]) -> int:
        """Appends to the change feed; returns a sequence that none of them exceeds."""
        insert_rows(self._connection, change, rows)
        return feed_head(self._connection)

    def _insert_numbered(self, table: Table, rows: Sequence[Row], *key: Column[str]) -> list[tuple[Any, ...]]:
        """The keys and numbers of what is inserted, among those of others: numbers only ever grow."""
        if not rows:
            return []
        last = self._connection.scalar(select(func.max(table.c.number))) or 0
        insert_rows(self._connection, table, rows)
        added = select(*key, table.c.number).where(table.c.number > last)
        return [tuple(row) for row in self._connection.execute(added)]

    def _update(self, table: Table, rows: Sequence[Row]) -> None:
        if not rows:
            return
        columns: Row = {name: bindparam(name) for name in rows[0] if name != "number"}
        statement = update(table).where(table.c.number == bindparam("of_number")).values(columns)
        self._connection.execute(
            statement, [{"of_number" if name == "number" else name: row[name] for name in row} for row in rows]
        )


_supersede = (
    update(observation)
    .where(observation.c.offer_number == bindparam("of_offer"), observation.c.superseded_at.is_(None))
    .values(superseded_at=bindparam("moment"))
)


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(values)
    while chunk := list(islice(remaining, _CHUNK)):
        yield chunk

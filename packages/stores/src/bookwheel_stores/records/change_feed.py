"""The feed of all changes of books, and how far each of its readers has come."""

from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import Change, ChangeKind
from sqlalchemy import Connection, Engine, Row, Select, func, select, update

from bookwheel_stores.records.database import reading
from bookwheel_stores.records.tables import book, change
from bookwheel_stores.records.tables import projection as cursors
from bookwheel_stores.records.upserts import insert_ignoring
from bookwheel_stores.records.values import from_millis

SEARCH_PROJECTION = "search"
"""The projection that a run waits for before it counts as searchable."""


class ChangedBooks(NamedTuple):
    """The books of a number of `changes`, each once, in the order of their first; `last` is the last one's sequence."""

    book_ids: list[str]
    changes: int
    last: int


class ChangeFeed:
    """Changes in the order in which they were committed; `sequence` only ever grows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def read(self, *, after: int, limit: int) -> list[Change]:
        """Up to `limit` changes behind the sequence `after`, oldest first."""
        query = select_changes().where(change.c.sequence > after).order_by(change.c.sequence).limit(limit)
        with reading(self._engine) as connection:
            return [change_of(row) for row in connection.execute(query)]

    def changed_books(self, *, after: int, limit: int) -> ChangedBooks:
        """Which books up to `limit` changes behind the sequence `after` are of: all that a projection needs of them."""
        query = (
            select(change.c.sequence, book.c.book_id)
            .join(book, book.c.number == change.c.book_number)
            .where(change.c.sequence > after)
            .order_by(change.c.sequence)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(query).all()
        book_ids = list(dict.fromkeys(row.book_id for row in rows))
        return ChangedBooks(book_ids, len(rows), rows[-1].sequence if rows else after)

    def head(self) -> int:
        """The last change's sequence, 0 before the first."""
        with reading(self._engine) as connection:
            return feed_head(connection)

    def cursor(self, projection: str) -> int:
        """The sequence up to which a projection holds every change, 0 for one that has not begun."""
        with reading(self._engine) as connection:
            query = select(cursors.c.sequence).where(cursors.c.name == projection)
            return connection.scalar(query) or 0

    def advance(self, projection: str, sequence: int) -> None:
        """Moves a projection's cursor on; never back, so a slower writer cannot undo a faster one."""
        forward = update(cursors).where(cursors.c.name == projection, cursors.c.sequence < sequence)
        with self._engine.begin() as connection:
            insert_ignoring(connection, cursors, [{"name": projection, "sequence": 0}])
            connection.execute(forward.values(sequence=sequence))

    def restart(self, projection: str) -> None:
        """Puts a projection's cursor before the first change, for one that is built anew."""
        with self._engine.begin() as connection:
            connection.execute(update(cursors).where(cursors.c.name == projection).values(sequence=0))


def feed_head(connection: Connection) -> int:
    return connection.scalar(select(func.max(change.c.sequence))) or 0


def select_changes() -> Select[Any]:
    return select(change, book.c.book_id).join(book, book.c.number == change.c.book_number)


def change_of(row: Row[Any]) -> Change:
    return Change(
        sequence=row.sequence,
        book_id=row.book_id,
        revision=row.revision,
        kind=ChangeKind(row.kind),
        fields=tuple(orjson.loads(row.fields)),
        changed_at=from_millis(row.changed_at),
        run_id=row.run_id,
    )

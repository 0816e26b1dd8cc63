"""The feed of all changes of books, and how far each of its readers has come."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import BookState, Change, ChangeKind
from sqlalchemy import Connection, Engine, Row, Select, func, select, update

from bookwheel_stores.records.catalog.book_content import contents_now
from bookwheel_stores.records.database.bulk import insert_or_ignore
from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.database.dialect import dialect_of
from bookwheel_stores.records.tables import book, change
from bookwheel_stores.records.tables import projection as cursors
from bookwheel_stores.records.values import from_millis

SEARCH_PROJECTION = "search"
"""The projection that a run waits for before it counts as searchable."""


class ChangedBooks(NamedTuple):
    """The books of a number of `changes`, each once, as of its last one; `last` is the last one's sequence."""

    books: list[BookState]
    changes: int
    last: int


class ChangeFeed:
    """Changes in the order in which they were committed; `sequence` only ever grows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def changed_books(self, *, after: int, limit: int) -> ChangedBooks:
        """What up to `limit` changes behind the sequence `after` come to: all that a copy of the catalog needs."""
        query = _select_states.where(change.c.sequence > after).order_by(change.c.sequence).limit(limit)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query).all()
            latest = {row[0]: row for row in rows}
            books = _states(connection, list(latest.values()))
        return ChangedBooks(books, len(rows), rows[-1][6] if rows else after)

    def list_books(self, *, after_number: int, limit: int) -> list[BookState]:
        """Books by number, ascending, as of their latest change, removed ones among them: for an index built anew."""
        query = (
            _select_states.where(change.c.revision == book.c.revision, book.c.number > after_number)
            .order_by(book.c.number)
            .limit(limit)
        )
        with read_connection(self._engine) as connection:
            return _states(connection, connection.execute(query).all())

    def list_books_at(self, numbers: Sequence[int], *, up_to: int) -> list[BookState]:
        """Of these books those whose latest change has at most the sequence `up_to`, as of that change."""
        query = _select_states.where(
            change.c.revision == book.c.revision, book.c.number.in_(numbers), change.c.sequence <= up_to
        )
        with read_connection(self._engine) as connection:
            return _states(connection, connection.execute(query).all())

    def list_revisions(self, *, after_number: int, limit: int) -> list[tuple[int, str, int]]:
        """Number, id and revision of the books that are not removed, by number, ascending."""
        query = (
            select(book.c.number, book.c.book_id, book.c.revision)
            .where(book.c.removed_at.is_(None), book.c.number > after_number)
            .order_by(book.c.number)
            .limit(limit)
        )
        with read_connection(self._engine) as connection:
            return [tuple(row) for row in connection.execute(query)]

    def head(self) -> int:
        """The last change's sequence, 0 before the first."""
        with read_connection(self._engine) as connection:
            return feed_head(connection)

    def cursor(self, projection: str) -> int:
        """The sequence up to which a projection holds every change, 0 for one that has not begun."""
        with read_connection(self._engine) as connection:
            query = select(cursors.c.sequence).where(cursors.c.name == projection)
            return connection.scalar(query) or 0

    def advance(self, reached: Mapping[str, int]) -> None:
        """Moves projections' cursors on, by their names; never back, so a slower writer cannot undo a faster one."""
        with self._engine.begin() as connection:
            for name, to in sorted(reached.items()):
                insert_or_ignore(connection, cursors, [{"name": name, "sequence": 0}])
                forward = update(cursors).where(cursors.c.name == name, cursors.c.sequence < to)
                connection.execute(forward.values(sequence=to))

    def try_advance(self, projection: str, *, expected: int, to: int) -> bool:
        """Moves a cursor on from where it is expected; False, and no move, where another was faster."""
        moved = update(cursors).where(cursors.c.name == projection, cursors.c.sequence == expected)
        with self._engine.begin() as connection:
            insert_or_ignore(connection, cursors, [{"name": projection, "sequence": 0}])
            return connection.execute(moved.values(sequence=to)).rowcount == 1

    def rewind(self, projection: str, sequence: int) -> None:
        """Moves a cursor back, for a projection that has to write again what follows the sequence."""
        back = update(cursors).where(cursors.c.name == projection, cursors.c.sequence > sequence)
        with self._engine.begin() as connection:
            connection.execute(back.values(sequence=sequence))

    def reset(self, projection: str) -> None:
        """Puts a projection's cursor before the first change, for one that is built anew."""
        with self._engine.begin() as connection:
            connection.execute(update(cursors).where(cursors.c.name == projection).values(sequence=0))


def lock_feed(connection: Connection) -> None:
    """Before a transaction adds changes: from here until it ends no other one does.

    So sequences become visible in their order, and a reader's cursor steps over none. Without it a transaction could
    take sequence 7, another 8, and a reader that saw 8 would never look for 7.
    """
    dialect_of(connection.dialect.name).lock_feed(connection)


def feed_head(connection: Connection) -> int:
    return connection.scalar(select(func.max(change.c.sequence))) or 0


# Content comes with it only where it is asked for: it is most of a change's size.
_told = [column for column in change.c if column.name != "content"]
_select_states = select(
    change.c.book_number,
    book.c.book_id,
    change.c.revision,
    change.c.kind == ChangeKind.REMOVED.value,
    change.c.content,
    book.c.revision == change.c.revision,
    change.c.sequence,
).join(book, book.c.number == change.c.book_number)


def _states(connection: Connection, rows: Sequence[Any]) -> list[BookState]:
    """From rows of `_select_states`. Where older versions wrote no content, that of the latest revision is made anew.

    An earlier one is left out: a later change of the same book is still to come.
    """
    bare = [row[0] for row in rows if row[4] is None and row[5]]
    made = contents_now(connection, bare) if bare else {}
    return [
        BookState(number, book_id, revision, bool(removed), (content or made[number]).encode())
        for number, book_id, revision, removed, content, is_latest, _ in rows
        if content is not None or is_latest
    ]


def select_changes() -> Select[Any]:
    return select(*_told, book.c.book_id).join(book, book.c.number == change.c.book_number)


def change_from_row(row: Row[Any]) -> Change:
    return Change(
        sequence=row.sequence,
        book_id=row.book_id,
        revision=row.revision,
        kind=ChangeKind(row.kind),
        fields=tuple(orjson.loads(row.fields)),
        changed_at=from_millis(row.changed_at),
        run_id=row.run_id,
    )

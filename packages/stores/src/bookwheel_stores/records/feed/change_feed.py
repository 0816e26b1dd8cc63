"""The change feed and the cursors of its projections."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import BookState, Change, ChangeKind
from sqlalchemy import Connection, Engine, Row, Select, func, select, update

from bookwheel_stores.records.catalog.book_content import complete_content, render_contents
from bookwheel_stores.records.database.connection import dialect_of, read_connection
from bookwheel_stores.records.tables import book, change
from bookwheel_stores.records.tables import projection as cursors
from bookwheel_stores.records.values import from_millis

SEARCH_PROJECTION = "search"
"""The projection that a run waits for before it counts as searchable."""


class ChangedBooks(NamedTuple):
    """The books of `changes` changes, each once at its last change; `last` is the sequence of the last change."""

    books: list[BookState]
    changes: int
    last: int


class ChangeFeed:
    """Changes in commit order; a later change has a higher `sequence`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def changed_books(self, *, after: int, limit: int) -> ChangedBooks:
        """The books of up to `limit` changes after the sequence `after`: all that a copy of the catalog needs."""
        query = _select_states.where(change.c.sequence > after).order_by(change.c.sequence).limit(limit)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query).all()
            latest_by_book = {row[0]: row for row in rows}
            books = _states(connection, list(latest_by_book.values()))
        return ChangedBooks(books, len(rows), rows[-1][6] if rows else after)

    def list_books(self, *, after_number: int, limit: int) -> list[BookState]:
        """Books at their latest change in ascending order of numbers, including removed ones: for an index build."""
        query = (
            _select_states.where(change.c.revision == book.c.revision, book.c.number > after_number)
            .order_by(book.c.number)
            .limit(limit)
        )
        with read_connection(self._engine) as connection:
            return _states(connection, connection.execute(query).all())

    def list_books_at(self, numbers: Sequence[int], *, up_to: int) -> list[BookState]:
        """The books among `numbers` without a change after the sequence `up_to`, at their latest change."""
        query = _select_states.where(
            change.c.revision == book.c.revision, book.c.number.in_(numbers), change.c.sequence <= up_to
        )
        with read_connection(self._engine) as connection:
            return _states(connection, connection.execute(query).all())

    def list_revisions(self, *, after_number: int, limit: int) -> list[tuple[int, str, int]]:
        """Number, id and revision of books in ascending order of their numbers, without removed ones."""
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
        """The sequence up to which a projection contains every change, 0 for a new one."""
        with read_connection(self._engine) as connection:
            query = select(cursors.c.sequence).where(cursors.c.name == projection)
            return connection.scalar(query) or 0

    def advance(self, sequences: Mapping[str, int]) -> None:
        """Moves cursors forward, by the projections' names; never back, so a slower writer cannot undo a faster one."""
        with self._engine.begin() as connection:
            for name, to in sorted(sequences.items()):
                _create_cursor(connection, name)
                forward = update(cursors).where(cursors.c.name == name, cursors.c.sequence < to)
                connection.execute(forward.values(sequence=to))

    def reset(self, projection: str) -> None:
        """Moves a projection's cursor before the first change, for a rebuild."""
        with self._engine.begin() as connection:
            connection.execute(update(cursors).where(cursors.c.name == projection).values(sequence=0))


def _create_cursor(connection: Connection, name: str) -> None:
    dialect_of(connection).insert_or_ignore(connection, cursors, [{"name": name, "sequence": 0}])


def feed_head(connection: Connection) -> int:
    """The sequence of the last change, 0 before the first."""
    return connection.scalar(select(func.max(change.c.sequence))) or 0


# Without the content, which is most of a change's size.
_change_columns = [column for column in change.c if column.name != "content"]
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
    """Book states from rows of `_select_states`.

    Old versions stored no content. It is rendered for a book's latest revision; an earlier revision is skipped,
    because a later change of the same book follows.
    """
    numbers = [row[0] for row in rows if row[4] is None and row[5]]
    rendered = render_contents(connection, numbers) if numbers else {}
    return [
        BookState(number, book_id, revision, bool(removed), complete_content(content or rendered[number]).encode())
        for number, book_id, revision, removed, content, is_latest, _ in rows
        if content is not None or is_latest
    ]


def select_changes() -> Select[Any]:
    return select(*_change_columns, book.c.book_id).join(book, book.c.number == change.c.book_number)


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

"""The change feed and the cursors of its projections."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from bookwheel_contracts import BookState, Change, ChangeKind
from sqlalchemy import Connection, Engine, Row, Select, func, select, update

from bookwheel_stores.records.catalog.book_content import add_missing_fields, render_contents
from bookwheel_stores.records.database.connection import dialect_of, read_connection
from bookwheel_stores.records.tables import book, change
from bookwheel_stores.records.tables import projection as cursors
from bookwheel_stores.records.values import from_millis

SEARCH_PROJECTION = "search"
"""A run is searchable if this projection contains all its changes."""


class ChangedBooks(NamedTuple):
    """Each changed book once, at its last change. `changes` counts the changes; `last` is the last sequence."""

    books: list[BookState]
    changes: int
    last: int


class ChangeFeed:
    """Reads changes in commit order. A later change has a higher `sequence`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def changed_books(self, *, after: int, limit: int) -> ChangedBooks:
        """Returns the books of up to `limit` changes after the sequence `after`, for a copy of the catalog."""
        query = _select_states.where(change.c.sequence > after).order_by(change.c.sequence).limit(limit)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query).all()
            latest_by_book = {row.book_number: row for row in rows}
            books = _states(connection, list(latest_by_book.values()))
        return ChangedBooks(books, len(rows), rows[-1].sequence if rows else after)

    def list_books(self, *, after_number: int, limit: int) -> list[BookState]:
        """Returns books at their latest change, ordered by number, including removed books, for an index build."""
        query = (
            _select_states.where(change.c.revision == book.c.revision, book.c.number > after_number)
            .order_by(book.c.number)
            .limit(limit)
        )
        with read_connection(self._engine) as connection:
            return _states(connection, connection.execute(query).all())

    def list_books_at(self, numbers: Sequence[int], *, up_to: int) -> list[BookState]:
        """Returns the books of `numbers` that have no change after the sequence `up_to`, at their latest change."""
        query = _select_states.where(
            change.c.revision == book.c.revision, book.c.number.in_(numbers), change.c.sequence <= up_to
        )
        with read_connection(self._engine) as connection:
            return _states(connection, connection.execute(query).all())

    def list_revisions(self, *, after_number: int, limit: int) -> list[tuple[int, str, int]]:
        """Returns number, id and revision of existing books, ordered by number."""
        query = (
            select(book.c.number, book.c.book_id, book.c.revision)
            .where(book.c.removed_at.is_(None), book.c.number > after_number)
            .order_by(book.c.number)
            .limit(limit)
        )
        with read_connection(self._engine) as connection:
            return [tuple(row) for row in connection.execute(query)]

    def head(self) -> int:
        """Returns the sequence of the last change; 0 before the first change."""
        with read_connection(self._engine) as connection:
            return feed_head(connection)

    def cursor(self, projection: str) -> int:
        """Returns the sequence up to which a projection contains all changes; 0 for a new projection."""
        with read_connection(self._engine) as connection:
            query = select(cursors.c.sequence).where(cursors.c.name == projection)
            return connection.scalar(query) or 0

    def advance(self, sequences: Mapping[str, int]) -> None:
        """Advances cursors, by projection. A cursor never moves back, so a slow writer cannot undo a faster writer."""
        with self._engine.begin() as connection:
            for name, sequence in sorted(sequences.items()):
                dialect_of(connection).insert_or_ignore(connection, cursors, [{"name": name, "sequence": 0}])
                forward = update(cursors).where(cursors.c.name == name, cursors.c.sequence < sequence)
                connection.execute(forward.values(sequence=sequence))

    def reset(self, projection: str) -> None:
        """Resets the cursor of a projection to 0, for a rebuild."""
        with self._engine.begin() as connection:
            connection.execute(update(cursors).where(cursors.c.name == projection).values(sequence=0))


def feed_head(connection: Connection) -> int:
    """Returns the sequence of the last change; 0 before the first change."""
    return connection.scalar(select(func.max(change.c.sequence))) or 0


# The content is excluded, because it is most of the size of a change.
_change_columns = [column for column in change.c if column.name != "content"]
_select_states = select(
    change.c.book_number,
    book.c.book_id,
    change.c.revision,
    (change.c.kind == ChangeKind.REMOVED.value).label("removed"),
    change.c.content,
    (book.c.revision == change.c.revision).label("is_latest"),
    change.c.sequence,
).join(book, book.c.number == change.c.book_number)


def _states(connection: Connection, rows: Sequence[Any]) -> list[BookState]:
    """Converts rows of `_select_states` to book states.

    Earlier releases stored no content. For the latest revision of a book it is rendered. An earlier revision is
    skipped, because a later change of the same book follows.
    """
    numbers = [row.book_number for row in rows if row.content is None and row.is_latest]
    rendered = render_contents(connection, numbers) if numbers else {}
    return [
        BookState(number, book_id, revision, bool(removed), add_missing_fields(content or rendered[number]).encode())
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

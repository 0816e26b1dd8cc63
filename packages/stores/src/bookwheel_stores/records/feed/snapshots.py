"""Reads the catalog as of any sequence or time, page by page."""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from bookwheel_contracts import ChangeKind
from sqlalchemy import ColumnElement, Connection, Engine, Select, func, select

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import feed_head
from bookwheel_stores.records.tables import change
from bookwheel_stores.records.values import to_millis

PAGE = 5000
"""The maximum number of books or changes in a page."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalog after the change `sequence`, or after the last change of each book up to the time `moment`.

    The times of a book's changes are ascending, so its state at a time is well defined. A snapshot never changes,
    because the feed is append-only. A snapshot by time is final after all items scraped before that time are ingested.
    """

    sequence: int | None = None
    moment: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        """Returns the condition for changes of the snapshot."""
        if self.moment is not None:
            return change.c.changed_at <= to_millis(self.moment)
        return change.c.sequence <= (self.sequence or 0)


class BookDiff(NamedTuple):
    """The contents of a book at two sequences; None if the book is not in the catalog."""

    before: bytes | None
    after: bytes | None


class ChangeDiff(NamedTuple):
    """A change with the contents of its book before and after it. `before` is None if the book did not exist."""

    sequence: int
    book_number: int
    changed_at: int
    removed: bool
    before: bytes | None
    after: bytes | None


class SnapshotReader:
    """Reads snapshots. Each page is a short transaction. All pages are consistent, because the feed is append-only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def head(self) -> int:
        with read_connection(self._engine) as connection:
            return feed_head(connection)

    def has_all_contents(self, snapshot: Snapshot) -> bool:
        """Returns False if the last change of a book in the snapshot has no content, as in earlier releases."""
        latest = _latest().where(snapshot.condition()).subquery()
        query = (
            select(change.c.sequence).join(latest, change.c.sequence == latest.c.last).where(_lacks_content).limit(1)
        )
        with read_connection(self._engine) as connection:
            return connection.scalar(query) is None

    def book_pages(
        self, snapshot: Snapshot, *, after_number: int = 0, up_to: int | None = None
    ) -> Iterator[list[bytes]]:
        """Yields pages of contents of existing books with numbers above `after_number`, ordered by number."""
        number = after_number
        while True:
            latest = _latest().where(snapshot.condition(), change.c.book_number > number)
            if up_to is not None:
                latest = latest.where(change.c.book_number <= up_to)
            page = latest.order_by(change.c.book_number).limit(PAGE).subquery()
            query = _select_states.join(page, change.c.sequence == page.c.last).order_by(change.c.book_number)
            with read_connection(self._engine) as connection:
                rows = connection.execute(query).all()
            if not rows:
                return
            number = rows[-1].book_number
            yield [content.encode() for _, removed, content in rows if not removed and content is not None]

    def diff_pages(self, earlier: int, later: int) -> Iterator[list[BookDiff]]:
        """Yields pages of books that changed between two sequences, ordered by number. Both contents may be equal."""
        changed_numbers = (
            select(change.c.book_number)
            .where(change.c.sequence > earlier, change.c.sequence <= later)
            .distinct()
            .order_by(change.c.book_number)
        )
        with read_connection(self._engine) as connection:
            numbers = array("q", connection.scalars(changed_numbers))
        for start in range(0, len(numbers), PAGE):
            page = numbers[start : start + PAGE].tolist()
            with read_connection(self._engine) as connection:
                before, after = _states(connection, page, earlier), _states(connection, page, later)
            yield [BookDiff(before.get(number), after.get(number)) for number in page]

    def change_pages(self, *, after: int, up_to: int) -> Iterator[list[ChangeDiff]]:
        """Yields pages of the changes between two sequences."""
        while after < up_to:
            query = (
                select(change.c.sequence, change.c.book_number, change.c.changed_at, change.c.kind, change.c.content)
                .where(change.c.sequence > after, change.c.sequence <= up_to)
                .order_by(change.c.sequence)
                .limit(PAGE)
            )
            with read_connection(self._engine) as connection:
                rows = connection.execute(query).all()
                content_by_book = _states(connection, list({row.book_number for row in rows}), after)
            if not rows:
                return
            diffs: list[ChangeDiff] = []
            for row in rows:
                removed = row.kind == ChangeKind.REMOVED.value
                content = None if row.content is None else row.content.encode()
                before = content_by_book.pop(row.book_number, None)
                diffs.append(ChangeDiff(row.sequence, row.book_number, row.changed_at, removed, before, content))
                if content is not None and not removed:
                    content_by_book[row.book_number] = content
            after = rows[-1].sequence
            yield diffs

    def changed_buckets(self, *, after: int, up_to: int, bucket_size: int) -> list[int]:
        """Returns the buckets with changed books. Bucket 0 has the book numbers from 1 to `bucket_size`."""
        index = ((change.c.book_number - 1) // bucket_size).label("index")
        query = select(index).where(change.c.sequence > after, change.c.sequence <= up_to).distinct().order_by(index)
        with read_connection(self._engine) as connection:
            return [int(number) for number in connection.scalars(query)]


_lacks_content = change.c.content.is_(None) & (change.c.kind != ChangeKind.REMOVED.value)
_select_states = select(change.c.book_number, change.c.kind == ChangeKind.REMOVED.value, change.c.content)


def _latest() -> Select[Any]:
    return select(change.c.book_number, func.max(change.c.sequence).label("last")).group_by(change.c.book_number)


def _states(connection: Connection, numbers: Sequence[int], sequence: int) -> dict[int, bytes]:
    """Returns contents at the sequence, without removed books and without books that have no content."""
    latest = _latest().where(change.c.book_number.in_(numbers), change.c.sequence <= sequence).subquery()
    rows = connection.execute(_select_states.join(latest, change.c.sequence == latest.c.last))
    return {number: content.encode() for number, removed, content in rows if not removed and content is not None}

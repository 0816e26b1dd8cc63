"""The catalog as it was at any point of the change feed, read a page at a time."""

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
"""Books, or changes, in memory at a time."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The catalog after the change `sequence`, or after each book's last change up to a `moment`.

    A book's changes never go back in time, so its state at a moment is well defined. Both stay what they are: the feed
    is only ever added to. (For a moment, once everything that was scraped up to it is taken in.)
    """

    sequence: int | None = None
    moment: datetime | None = None

    def condition(self) -> ColumnElement[bool]:
        """Of a change: that it is up to this point."""
        if self.moment is not None:
            return change.c.changed_at <= to_millis(self.moment)
        return change.c.sequence <= (self.sequence or 0)


class BookDiff(NamedTuple):
    """A book's content at two points, None where it is not in the catalog; see `BookState.content`."""

    before: bytes | None
    after: bytes | None


class ChangeDiff(NamedTuple):
    """A change with the book's content after it and, of the living, before it."""

    sequence: int
    book_number: int
    changed_at: int
    removed: bool
    before: bytes | None
    after: bytes | None


class SnapshotReader:
    """Each page is a transaction of its own and short, yet all pages show the same point: the feed only grows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def head(self) -> int:
        with read_connection(self._engine) as connection:
            return feed_head(connection)

    def has_all_contents(self, snapshot: Snapshot) -> bool:
        """False where a book's last change up to that point was written by a version that kept no content."""
        latest = _latest().where(snapshot.condition()).subquery()
        query = select(change.c.sequence).join(latest, change.c.sequence == latest.c.last).where(_is_bare).limit(1)
        with read_connection(self._engine) as connection:
            return connection.scalar(query) is None

    def book_pages(
        self, snapshot: Snapshot, *, after_number: int = 0, up_to: int | None = None
    ) -> Iterator[list[bytes]]:
        """The contents of the living books with these numbers, in their order: `PAGE` books or fewer at a time."""
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
            number = rows[-1][0]
            yield [content.encode() for _, removed, content in rows if not removed and content is not None]

    def diff_pages(self, earlier: int, later: int) -> Iterator[list[BookDiff]]:
        """What became of each book between two sequences, by its number; those that are the same are there too."""
        touched = (
            select(change.c.book_number)
            .where(change.c.sequence > earlier, change.c.sequence <= later)
            .distinct()
            .order_by(change.c.book_number)
        )
        with read_connection(self._engine) as connection:
            numbers = array("q", connection.scalars(touched))
        for start in range(0, len(numbers), PAGE):
            page = numbers[start : start + PAGE].tolist()
            with read_connection(self._engine) as connection:
                before, after = _states(connection, page, earlier), _states(connection, page, later)
            yield [BookDiff(before.get(number), after.get(number)) for number in page]

    def change_pages(self, *, after: int, up_to: int) -> Iterator[list[ChangeDiff]]:
        """The changes between two sequences, in their order, `PAGE` at a time."""
        while after < up_to:
            query = (
                select(change.c.sequence, change.c.book_number, change.c.changed_at, change.c.kind, change.c.content)
                .where(change.c.sequence > after, change.c.sequence <= up_to)
                .order_by(change.c.sequence)
                .limit(PAGE)
            )
            with read_connection(self._engine) as connection:
                rows = connection.execute(query).all()
                known = _states(connection, list({row.book_number for row in rows}), after)
            if not rows:
                return
            seen: list[ChangeDiff] = []
            for row in rows:
                removed = row.kind == ChangeKind.REMOVED.value
                content = None if row.content is None else row.content.encode()
                before = known.pop(row.book_number, None)
                seen.append(ChangeDiff(row.sequence, row.book_number, row.changed_at, removed, before, content))
                if content is not None and not removed:
                    known[row.book_number] = content
            after = rows[-1].sequence
            yield seen

    def changed_buckets(self, *, after: int, up_to: int, bucket: int) -> list[int]:
        """Which buckets of `bucket` book numbers hold books that changed: 0 for the first."""
        found = ((change.c.book_number - 1) // bucket).label("found")
        query = select(found).where(change.c.sequence > after, change.c.sequence <= up_to).distinct().order_by(found)
        with read_connection(self._engine) as connection:
            return [int(number) for number in connection.scalars(query)]


_is_bare = change.c.content.is_(None) & (change.c.kind != ChangeKind.REMOVED.value)
_select_states = select(change.c.book_number, change.c.kind == ChangeKind.REMOVED.value, change.c.content)


def _latest() -> Select[Any]:
    return select(change.c.book_number, func.max(change.c.sequence).label("last")).group_by(change.c.book_number)


def _states(connection: Connection, numbers: Sequence[int], sequence: int) -> dict[int, bytes]:
    """The living ones of these books after that change; without those of which no content is known."""
    latest = _latest().where(change.c.book_number.in_(numbers), change.c.sequence <= sequence).subquery()
    rows = connection.execute(_select_states.join(latest, change.c.sequence == latest.c.last))
    return {number: content.encode() for number, removed, content in rows if not removed and content is not None}

"""Books that the search index refuses for good, each in quarantine until the index holds it as it is now."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bookwheel_contracts import BookState, FieldError
from sqlalchemy import Connection, Engine, select

from bookwheel_stores.records.database.connection import in_transaction, read_connection
from bookwheel_stores.records.runs.quarantine import (
    INDEX_ENTRIES,
    REFUSED_BY_INDEX,
    NewQuarantineEntry,
    QuarantineState,
    QuarantineWriter,
)
from bookwheel_stores.records.tables import quarantine

_LONGEST_REASON = 1500
_BEHIND = INDEX_ENTRIES[:-1] + chr(ord(INDEX_ENTRIES[-1]) + 1)
"""Sorts behind every entry of the index."""


class RefusedBook(NamedTuple):
    """A refused book's entry, at the revision that was refused."""

    entry_id: str
    number: int
    revision: int


class IndexRefusals:
    """Entries `index/<book's number>/<revision>`: nobody can replay them, the index itself is what they wait for."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_open(self) -> list[RefusedBook]:
        query = select(quarantine.c.entry_id).where(
            quarantine.c.entry_id > INDEX_ENTRIES,
            quarantine.c.entry_id < _BEHIND,
            quarantine.c.state != QuarantineState.REPLAYED.value,
        )
        with read_connection(self._engine) as connection:
            return [_waiting(entry_id) for entry_id in connection.scalars(query)]

    def update(
        self, refused: Sequence[tuple[BookState, str]], *, now: int, is_resolved: Callable[[RefusedBook], bool]
    ) -> None:
        """Keeps the refused books with the engine's reasons, and takes from those that wait what `is_resolved`.

        Idempotent; one that was settled and is refused again at the same revision waits again.
        """
        entries = {entry.entry_id: entry for entry in (_entry(book, reason) for book, reason in refused)}
        known = {one.entry_id: one for one in self.list_open()}
        new = [entry for entry_id, entry in entries.items() if entry_id not in known]
        settled = [entry_id for entry_id, one in known.items() if entry_id not in entries and is_resolved(one)]
        if not new and not settled:
            return

        def write(connection: Connection) -> None:
            writer = QuarantineWriter(connection)
            writer.resolve(settled, now=now)
            writer.add(new, now=now)
            writer.reopen(new)

        in_transaction(self._engine, write)


def _waiting(entry_id: str) -> RefusedBook:
    number, _, revision = entry_id.removeprefix(INDEX_ENTRIES).partition("/")
    return RefusedBook(entry_id, int(number), int(revision))


def _entry(book: BookState, reason: str) -> NewQuarantineEntry:
    told = f"{book.book_id}, revision {book.revision}: {reason}"[:_LONGEST_REASON]
    return NewQuarantineEntry(
        entry_id=f"{INDEX_ENTRIES}{book.number}/{book.revision}",
        run_id=None,
        source=None,
        url=None,
        body=book.content,
        reasons=(FieldError(field="book", code=REFUSED_BY_INDEX, message=told.replace("\0", " ")),),
    )

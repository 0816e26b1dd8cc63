"""Books that the search index rejects, each in quarantine until the index contains its current revision."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bookwheel_contracts import BookState, FieldError
from sqlalchemy import Connection, Engine, select

from bookwheel_stores.records.database.connection import in_transaction, read_connection
from bookwheel_stores.records.runs.quarantine import (
    INDEX_ENTRY_PREFIX,
    REJECTED_BY_INDEX_CODE,
    NewQuarantineEntry,
    QuarantineState,
    QuarantineWriter,
)
from bookwheel_stores.records.tables import quarantine

_MAX_REASON = 1500
_AFTER_INDEX_ENTRIES = INDEX_ENTRY_PREFIX[:-1] + chr(ord(INDEX_ENTRY_PREFIX[-1]) + 1)
"""The first string after all entry ids of the index."""


class RejectedRevision(NamedTuple):
    """The quarantine entry of a book at the revision that the index rejected."""

    entry_id: str
    number: int
    revision: int


class RejectedBooks:
    """Quarantine entries `index/<book's number>/<revision>`. They cannot be replayed; the index resolves them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_open(self) -> list[RejectedRevision]:
        query = select(quarantine.c.entry_id).where(
            quarantine.c.entry_id > INDEX_ENTRY_PREFIX,
            quarantine.c.entry_id < _AFTER_INDEX_ENTRIES,
            quarantine.c.state != QuarantineState.REPLAYED.value,
        )
        with read_connection(self._engine) as connection:
            return [_parse_entry_id(entry_id) for entry_id in connection.scalars(query)]

    def update(
        self, rejected: Sequence[tuple[BookState, str]], *, now: int, is_resolved: Callable[[RejectedRevision], bool]
    ) -> None:
        """Adds rejected books with the engine's reasons, and resolves the open entries for which `is_resolved` holds.

        Idempotent. An entry that was resolved is open again if the index rejects the same revision again.
        """
        entries = {entry.entry_id: entry for entry in (_entry(book, reason) for book, reason in rejected)}
        open_entries = {entry.entry_id: entry for entry in self.list_open()}
        new = [entry for entry_id, entry in entries.items() if entry_id not in open_entries]
        resolved = [
            entry_id for entry_id, entry in open_entries.items() if entry_id not in entries and is_resolved(entry)
        ]
        if not new and not resolved:
            return

        def write(connection: Connection) -> None:
            writer = QuarantineWriter(connection)
            writer.mark_resolved(resolved, now=now)
            writer.add(new, now=now)
            writer.reopen(new)

        in_transaction(self._engine, write)


def _parse_entry_id(entry_id: str) -> RejectedRevision:
    number, _, revision = entry_id.removeprefix(INDEX_ENTRY_PREFIX).partition("/")
    return RejectedRevision(entry_id, int(number), int(revision))


def _entry(book: BookState, reason: str) -> NewQuarantineEntry:
    message = f"{book.book_id}, revision {book.revision}: {reason}"[:_MAX_REASON]
    return NewQuarantineEntry(
        entry_id=f"{INDEX_ENTRY_PREFIX}{book.number}/{book.revision}",
        run_id=None,
        source=None,
        url=None,
        body=book.content,
        reasons=(FieldError(field="book", code=REJECTED_BY_INDEX_CODE, message=message.replace("\0", " ")),),
    )

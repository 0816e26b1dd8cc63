"""Stores the quarantine: invalid items and books rejected by the index, with reasons."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import orjson
from bookwheel_contracts import FieldError, Verdict
from sqlalchemy import ColumnElement, Connection, Engine, Row, and_, func, select, true, update

from bookwheel_stores.records.database.connection import dialect_of, in_transaction, read_connection
from bookwheel_stores.records.tables import quarantine
from bookwheel_stores.records.values import from_millis


class QuarantineState(StrEnum):
    """`queued`: an operator requested a replay. `replayed`: a replay or the index resolved the entry."""

    OPEN = "open"
    QUEUED = "queued"
    REPLAYED = "replayed"


RUN_DISCARDED_CODE = "run_discarded"
"""The code of items of a run that an operator discarded. A replay of all items skips these items."""
REJECTED_BY_INDEX_CODE = "refused_by_index"
"""The code of books that the index rejects."""
INDEX_ENTRY_PREFIX = "index/"
"""The prefix of entry ids of rejected books, which cannot be replayed: see `rejected_books`."""


@dataclass(frozen=True, slots=True)
class QuarantineEntry:
    """`body` is the stream entry as received, or the book that the index rejects.

    `run_id` is None for an unreadable entry. `code` is the code of the first reason. `verdict` is the
    result of the replay.
    """

    number: int
    entry_id: str
    run_id: str | None
    source: str | None
    url: str | None
    body: str
    reasons: tuple[FieldError, ...]
    code: str
    state: QuarantineState
    quarantined_at: datetime
    replayed_at: datetime | None
    verdict: Verdict | None

    @property
    def is_rejected_by_index(self) -> bool:
        return self.entry_id.startswith(INDEX_ENTRY_PREFIX)


@dataclass(frozen=True, slots=True)
class QuarantineFilter:
    """Selects entries by source, run or code. None matches any value."""

    source: str | None = None
    run_id: str | None = None
    code: str | None = None

    @property
    def condition(self) -> ColumnElement[bool]:
        values = {"source": self.source, "run_id": self.run_id, "code": self.code}
        return and_(true(), *(quarantine.c[name] == value for name, value in values.items() if value is not None))


ALL_ENTRIES = QuarantineFilter()


@dataclass(frozen=True, slots=True)
class NewQuarantineEntry:
    """`entry_id` identifies the entry, so a redelivery is stored once. `source_key` is None for an unknown offer."""

    entry_id: str
    run_id: str | None
    source: str | None
    url: str | None
    body: bytes
    reasons: tuple[FieldError, ...]
    source_key: str | None = None


class QuarantineStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        selection: QuarantineFilter = ALL_ENTRIES,
        *,
        state: QuarantineState | None,
        after_number: int = 0,
        limit: int,
    ) -> list[QuarantineEntry]:
        """Returns entries, oldest first. If `state` is None, they can have any state."""
        query = select(quarantine).where(selection.condition, quarantine.c.number > after_number)
        if state is not None:
            query = query.where(quarantine.c.state == state.value)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query.order_by(quarantine.c.number).limit(limit))
            return [_entry_from_row(row) for row in rows]

    def list_open(self, *, after_number: int = 0, limit: int) -> list[QuarantineEntry]:
        """Returns open entries, oldest first."""
        return self.page(state=QuarantineState.OPEN, after_number=after_number, limit=limit)

    def get(self, number: int) -> QuarantineEntry | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(quarantine).where(quarantine.c.number == number)).first()
        return None if row is None else _entry_from_row(row)

    def count(
        self, selection: QuarantineFilter = ALL_ENTRIES, *, state: QuarantineState | None = QuarantineState.OPEN
    ) -> int:
        """Returns the number of entries. If `state` is None, they can have any state."""
        query = select(func.count()).select_from(quarantine).where(selection.condition)
        if state is not None:
            query = query.where(quarantine.c.state == state.value)
        with read_connection(self._engine) as connection:
            return connection.scalar(query) or 0

    def queue_replays(self, selection: QuarantineFilter) -> int:
        """Queues open entries for a replay by the processor; returns their number.

        Items of a discarded run are queued only if the filter has their run or code. Rejected books are never queued.
        """
        condition = selection.condition
        if selection.run_id is None and selection.code != RUN_DISCARDED_CODE:
            condition &= quarantine.c.code != RUN_DISCARDED_CODE
        return self._queue(condition)

    def queue_replay(self, number: int) -> bool:
        """Queues one entry. Returns False if it is not open or is a book that the index rejects."""
        return self._queue(quarantine.c.number == number) == 1

    def _queue(self, condition: ColumnElement[bool]) -> int:
        is_open = quarantine.c.state == QuarantineState.OPEN.value
        is_stream_entry = ~quarantine.c.entry_id.startswith(INDEX_ENTRY_PREFIX)
        statement = (
            update(quarantine).where(condition, is_open, is_stream_entry).values(state=QuarantineState.QUEUED.value)
        )
        return in_transaction(self._engine, lambda connection: connection.execute(statement).rowcount)


def _entry_from_row(row: Row[Any]) -> QuarantineEntry:
    return QuarantineEntry(
        number=row.number,
        entry_id=row.entry_id,
        run_id=row.run_id,
        source=row.source,
        url=row.url,
        body=row.body,
        reasons=tuple(FieldError(**reason) for reason in orjson.loads(row.reasons)),
        code=row.code,
        state=QuarantineState(row.state),
        quarantined_at=from_millis(row.quarantined_at),
        replayed_at=None if row.replayed_at is None else from_millis(row.replayed_at),
        verdict=Verdict(row.verdict) if row.verdict else None,
    )


class QuarantineWriter:
    """Writes entries inside the transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, entries: Sequence[NewQuarantineEntry], *, now: int) -> None:
        """Stores entries. Idempotent, so redelivered entries are stored once."""
        entries_by_id = {entry.entry_id: entry for entry in entries}
        rows = [
            {
                "entry_id": entry.entry_id,
                "run_id": entry.run_id,
                "source": entry.source,
                "source_key": entry.source_key,
                "url": entry.url,
                "body": escape_body(entry.body),
                "reasons": _reasons_json(entry.reasons),
                "code": _first_code(entry.reasons),
                "state": QuarantineState.OPEN.value,
                "quarantined_at": now,
            }
            for _, entry in sorted(entries_by_id.items())
        ]
        dialect_of(self._connection).insert_or_ignore(self._connection, quarantine, rows)

    def reopen_after_failed_replay(self, number: int, reasons: Sequence[FieldError]) -> None:
        """Reopens an entry whose replay failed, with the current reasons."""
        is_unresolved = quarantine.c.state != QuarantineState.REPLAYED.value
        values = {"reasons": _reasons_json(reasons), "code": _first_code(reasons), "state": QuarantineState.OPEN.value}
        self._connection.execute(update(quarantine).where(quarantine.c.number == number, is_unresolved).values(values))

    def mark_replayed(self, number: int, *, now: int) -> bool:
        """Marks an entry as replayed. Returns False if another replay has already resolved it."""
        result = self._connection.execute(
            update(quarantine)
            .where(quarantine.c.number == number, quarantine.c.state != QuarantineState.REPLAYED.value)
            .values(state=QuarantineState.REPLAYED.value, replayed_at=now)
        )
        return result.rowcount == 1

    def mark_resolved(self, entry_ids: Sequence[str], *, now: int) -> None:
        """Marks entries of books that the index now contains as replayed."""
        values = {"state": QuarantineState.REPLAYED.value, "replayed_at": now}
        self._update([{"entry_id": entry_id, **values} for entry_id in sorted(entry_ids)])

    def reopen(self, entries: Sequence[NewQuarantineEntry]) -> None:
        """Reopens resolved entries with the current reasons."""
        values = {"state": QuarantineState.OPEN.value, "replayed_at": None}
        rows = [{"entry_id": entry.entry_id, "reasons": _reasons_json(entry.reasons), **values} for entry in entries]
        self._update(sorted(rows, key=lambda row: str(row["entry_id"])))

    def _update(self, rows: Sequence[dict[str, Any]]) -> None:
        dialect_of(self._connection).update_rows(self._connection, rows, key_column=quarantine.c.entry_id)

    def set_verdict(self, number: int, verdict: Verdict) -> None:
        """Stores the verdict of a replay."""
        self._connection.execute(update(quarantine).where(quarantine.c.number == number).values(verdict=verdict.value))


def escape_body(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _first_code(reasons: Sequence[FieldError]) -> str:
    return reasons[0].code[:64] if reasons else ""


def _reasons_json(reasons: Sequence[FieldError]) -> str:
    return orjson.dumps([reason.model_dump() for reason in reasons]).decode()

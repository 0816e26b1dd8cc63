"""Items that could not be taken in, with the reasons, kept until they are replayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import orjson
from bookwheel_contracts import FieldError
from sqlalchemy import Connection, Engine, func, select, update

from bookwheel_stores.records.bulk import insert_ignoring
from bookwheel_stores.records.database import reading
from bookwheel_stores.records.tables import quarantine
from bookwheel_stores.records.values import from_millis


class QuarantineState(StrEnum):
    OPEN = "open"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """`body` is the stream's entry as it came. `run_id` is None where nothing could be read from it."""

    number: int
    entry_id: str
    run_id: str | None
    source: str | None
    url: str | None
    body: str
    reasons: tuple[FieldError, ...]
    quarantined_at: datetime


@dataclass(frozen=True, slots=True)
class NewlyQuarantined:
    """`entry_id` identifies the entry for good, so that its redelivery is not kept twice."""

    entry_id: str
    run_id: str | None
    source: str | None
    url: str | None
    body: bytes
    reasons: tuple[FieldError, ...]


class QuarantineStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, *, after_number: int = 0, limit: int) -> list[Quarantined]:
        """What waits for a replay, oldest first."""
        query = (
            select(quarantine)
            .where(quarantine.c.state == QuarantineState.OPEN.value, quarantine.c.number > after_number)
            .order_by(quarantine.c.number)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [
                Quarantined(
                    number=row.number,
                    entry_id=row.entry_id,
                    run_id=row.run_id,
                    source=row.source,
                    url=row.url,
                    body=row.body,
                    reasons=tuple(FieldError(**reason) for reason in orjson.loads(row.reasons)),
                    quarantined_at=from_millis(row.quarantined_at),
                )
                for row in connection.execute(query)
            ]

    def count(self) -> int:
        """How many wait for a replay."""
        query = select(func.count()).where(quarantine.c.state == QuarantineState.OPEN.value)
        with reading(self._engine) as connection:
            return connection.scalar(query) or 0


class QuarantineWriter:
    """Works inside the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, items: Sequence[NewlyQuarantined], *, now: int) -> None:
        """Keeps each entry once, however often it is delivered."""
        new = {item.entry_id: item for item in items}
        rows = [
            {
                "entry_id": item.entry_id,
                "run_id": item.run_id,
                "source": item.source,
                "url": item.url,
                "body": _storable(item.body),
                "reasons": _json(item.reasons),
                "state": QuarantineState.OPEN.value,
                "quarantined_at": now,
            }
            for _, item in sorted(new.items())
        ]
        insert_ignoring(self._connection, quarantine, rows)

    def still_rejected(self, number: int, reasons: Sequence[FieldError]) -> None:
        self._connection.execute(update(quarantine).where(quarantine.c.number == number).values(reasons=_json(reasons)))

    def take(self, number: int, *, now: int) -> bool:
        """Marks an open one as replayed; False where another replay was faster."""
        taken = self._connection.execute(
            update(quarantine)
            .where(quarantine.c.number == number, quarantine.c.state == QuarantineState.OPEN.value)
            .values(state=QuarantineState.REPLAYED.value, replayed_at=now)
        )
        return taken.rowcount == 1


def _storable(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace").replace("\x00", "\\x00")


def _json(reasons: Sequence[FieldError]) -> str:
    return orjson.dumps([reason.model_dump() for reason in reasons]).decode()

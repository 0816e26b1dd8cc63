"""Stores served predictions."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson
from bookwheel_contracts import PredictionRecord
from sqlalchemy import Connection, CursorResult, Engine, Row, delete, select

from bookwheel_stores.records.database.connection import dialect_of, in_transaction, read_connection
from bookwheel_stores.records.tables import prediction
from bookwheel_stores.records.values import from_millis, to_millis


class PredictionStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, records: Sequence[PredictionRecord]) -> None:
        """Stores predictions. Idempotent."""
        # Rows are not ordered by key, so two writers of the same predictions may deadlock. Then the transaction is
        # repeated.
        in_transaction(self._engine, lambda connection: write_predictions(connection, records))

    def recent(self, limit: int) -> list[PredictionRecord]:
        """Returns up to `limit` predictions, newest first."""
        with read_connection(self._engine) as connection:
            rows = connection.execute(select(prediction).order_by(prediction.c.number.desc()).limit(limit))
            return [_record(row) for row in rows]

    def delete_before(self, moment: datetime, *, batch: int = 1_000, limit: int = 50_000) -> int:
        """Deletes about `limit` predictions made before `moment`, in transactions of `batch`; returns their number.

        It checks the rows with the lowest numbers, which are the oldest rows. This needs no index on the time.
        """
        deleted = 0
        while deleted < limit:
            count = in_transaction(self._engine, lambda connection: _delete_oldest(connection, moment, batch))
            if not count:
                break
            deleted += count
        return deleted


def _delete_oldest(connection: Connection, moment: datetime, batch: int) -> int:
    oldest = select(prediction.c.number).order_by(prediction.c.number).limit(batch)
    result: CursorResult[Any] = connection.execute(
        delete(prediction).where(prediction.c.number.in_(oldest), prediction.c.predicted_at < to_millis(moment))
    )
    return result.rowcount


def write_predictions(connection: Connection, records: Sequence[PredictionRecord]) -> None:
    """Stores predictions inside the transaction of the caller. Idempotent."""
    dialect_of(connection).insert_or_ignore(connection, prediction, [_row(record) for record in records])


def _row(record: PredictionRecord) -> dict[str, Any]:
    row = record.model_dump()
    return row | {"predicted_at": to_millis(record.predicted_at), "features": orjson.dumps(record.features).decode()}


def _record(row: Row[Any]) -> PredictionRecord:
    values = {name: getattr(row, name) for name in PredictionRecord.model_fields}
    values |= {"predicted_at": from_millis(row.predicted_at), "features": tuple(orjson.loads(row.features))}
    return PredictionRecord(**values)

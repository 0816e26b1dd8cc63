"""Stores the faults of fields: the text that could not be read, and its page."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from bookwheel_contracts import FieldFault, FieldFaultCount
from sqlalchemy import Connection, Engine, Row, delete, select, update

from bookwheel_stores.records.database.connection import dialect_of, read_connection
from bookwheel_stores.records.runs.store import FINAL_STATES
from bookwheel_stores.records.tables import crawl_run, field_fault, run_field_fault
from bookwheel_stores.records.values import from_millis

_MAX_COUNTS = 100


class PageFault(NamedTuple):
    """A fault on the page `url`. `found_at` is in milliseconds."""

    fault: FieldFault
    url: str
    found_at: int


class StoredFault(NamedTuple):
    number: int
    run_id: str
    field: str
    code: str
    text: str
    url: str
    found_at: datetime


class FieldFaultWriter:
    """Stores faults inside the transaction of the caller, which has locked the run."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._dialect = dialect_of(connection)

    def add(self, run_number: int, faults: Sequence[PageFault]) -> None:
        """Stores and counts the faults of new items or pages of the run."""
        if not faults:
            return
        rows = [
            {
                "run_number": run_number,
                "field": fault.field,
                "code": fault.code,
                "text": fault.text.replace("\0", "\ufffd"),
                "url": url,
                "found_at": found_at,
            }
            for fault, url, found_at in faults
        ]
        self._dialect.insert_returning_ids(self._connection, field_fault.c.number, rows)
        counts = Counter((row["field"], row["code"]) for row in rows)
        self._dialect.increment_counts(
            self._connection,
            run_field_fault.c.faults,
            [
                {"run_number": run_number, "field": field, "code": code, "faults": count}
                for (field, code), count in sorted(counts.items())
            ],
        )
        statement = update(crawl_run).where(crawl_run.c.number == run_number)
        self._connection.execute(statement.values(faults=crawl_run.c.faults + len(rows)))

    def purge(self, *, before: int) -> int:
        """Deletes the faults of runs that ended before `before`. Their counts stay. Returns the number of faults."""
        ended = select(crawl_run.c.number).where(
            crawl_run.c.state.in_([state.value for state in FINAL_STATES]), crawl_run.c.touched_at < before
        )
        return self._connection.execute(delete(field_fault).where(field_fault.c.run_number.in_(ended))).rowcount


class FieldFaultReader:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        source: str,
        *,
        run_id: str | None = None,
        field: str | None = None,
        code: str | None = None,
        before_number: int | None = None,
        limit: int,
    ) -> Sequence[StoredFault]:
        """Returns faults of the source, newest first, with a number below `before_number`. None selects all."""
        names = ("number", "field", "code", "text", "url", "found_at")
        query = (
            select(crawl_run.c.run_id, *(field_fault.c[name] for name in names))
            .join(crawl_run, crawl_run.c.number == field_fault.c.run_number)
            .where(crawl_run.c.source == source)
        )
        filters = ((crawl_run.c.run_id, run_id), (field_fault.c.field, field), (field_fault.c.code, code))
        for column, value in filters:
            if value is not None:
                query = query.where(column == value)
        if before_number is not None:
            query = query.where(field_fault.c.number < before_number)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query.order_by(field_fault.c.number.desc()).limit(limit)).all()
        return [_fault_from_row(row) for row in rows]


def count_field_faults(connection: Connection, run_number: int) -> tuple[FieldFaultCount, ...]:
    """Returns the numbers of a run's faults by field and code, highest first."""
    query = (
        select(run_field_fault)
        .where(run_field_fault.c.run_number == run_number)
        .order_by(run_field_fault.c.faults.desc(), run_field_fault.c.field, run_field_fault.c.code)
        .limit(_MAX_COUNTS)
    )
    return tuple(
        FieldFaultCount(field=row.field, code=row.code, faults=row.faults) for row in connection.execute(query)
    )


def _fault_from_row(row: Row[tuple[str, int, str, str, str, str, int]]) -> StoredFault:
    return StoredFault(row.number, row.run_id, row.field, row.code, row.text, row.url, from_millis(row.found_at))

"""How many of a run's items fill each field, and what is wrong with the others. Inside the caller's transaction."""

from collections.abc import Mapping

from sqlalchemy import Connection, select, update

from bookwheel_stores.records.database.bulk import add_counts
from bookwheel_stores.records.tables import crawl_run, run_fault, run_field

Fault = tuple[str, str]
"""A field and a reason's code."""


class RunQualityWriter:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_valid(self, run_number: int, *, valid: int, filled: Mapping[str, int]) -> None:
        """Adds (or takes back) items that the rules took, and how many of them fill which field."""
        rows = [
            {"run_number": run_number, "field": field, "filled": count}
            for field, count in sorted(filled.items())
            if count
        ]
        add_counts(self._connection, run_field.c.filled, rows)
        self._total(run_number, valid=valid)

    def add_invalid(self, run_number: int, *, invalid: int, faults: Mapping[Fault, int]) -> None:
        """Adds (or takes back) items that the rules refused, and how many of them for which reason."""
        rows = [
            {"run_number": run_number, "field": field, "code": code, "refused": count}
            for (field, code), count in sorted(faults.items())
        ]
        add_counts(self._connection, run_fault.c.refused, rows)
        self._total(run_number, invalid=invalid)

    def filled_counts(self, run_number: int) -> dict[str, int]:
        query = select(run_field.c.field, run_field.c.filled).where(run_field.c.run_number == run_number)
        return {row.field: row.filled for row in self._connection.execute(query)}

    def _total(self, run_number: int, **more: int) -> None:
        added = {name: crawl_run.c[name] + count for name, count in more.items()}
        self._connection.execute(update(crawl_run).where(crawl_run.c.number == run_number).values(added))

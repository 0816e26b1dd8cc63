"""Stores and reports the quality of runs: filled fields of valid items, and reasons of invalid items."""

from collections.abc import Mapping, Sequence
from typing import Any

from bookwheel_contracts import (
    Assertion,
    Expectations,
    FaultCount,
    FieldQuality,
    PageOutcome,
    RunQualityReport,
    RunState,
)
from bookwheel_contracts.crawls import FILL_FIELDS
from sqlalchemy import Connection, Engine, Row, func, select, update

from bookwheel_stores.records.database.connection import dialect_of, read_connection
from bookwheel_stores.records.runs.approvals import expectations_from_row
from bookwheel_stores.records.runs.field_faults import count_field_faults
from bookwheel_stores.records.runs.store import page_column
from bookwheel_stores.records.tables import crawl_run, run_fault, run_field
from bookwheel_stores.records.values import from_millis

ErrorKey = tuple[str, str]
"""A field and an error code."""
COMPARED_RUNS = 5
SIGNIFICANT_FALL = 0.1
"""A rate has fallen if it decreased by at least this share of all items."""
MIN_COMPARED_ITEMS = 20
"""With fewer items, a rate is too uncertain to detect a fall."""
_MAX_FAULTS = 50


class RunQualityWriter:
    """Stores the quality of runs inside the transaction of the caller."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_valid(self, run_number: int, *, valid: int, filled: Mapping[str, int]) -> None:
        """Adds the numbers of valid items and of filled fields. Negative counts subtract."""
        rows = [
            {"run_number": run_number, "field": field, "filled": count}
            for field, count in sorted(filled.items())
            if count
        ]
        dialect_of(self._connection).increment_counts(self._connection, run_field.c.filled, rows)
        self._add_totals(run_number, valid=valid)

    def add_invalid(self, run_number: int, *, invalid: int, error_counts: Mapping[ErrorKey, int]) -> None:
        """Adds the number of invalid items and the counts of their errors. Negative counts subtract."""
        rows = [
            {"run_number": run_number, "field": field, "code": code, "refused": count}
            for (field, code), count in sorted(error_counts.items())
        ]
        dialect_of(self._connection).increment_counts(self._connection, run_fault.c.refused, rows)
        self._add_totals(run_number, invalid=invalid)

    def filled_counts(self, run_number: int) -> dict[str, int]:
        query = select(run_field.c.field, run_field.c.filled).where(run_field.c.run_number == run_number)
        return {row.field: row.filled for row in self._connection.execute(query)}

    def _add_totals(self, run_number: int, **counts: int) -> None:
        sums = {name: crawl_run.c[name] + count for name, count in counts.items()}
        self._connection.execute(update(crawl_run).where(crawl_run.c.number == run_number).values(sums))


class QualityReader:
    """Reads quality reports. Each call reads one consistent snapshot."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_latest(self) -> list[RunQualityReport]:
        """Returns the report of the latest run of each source, ordered by source."""
        newest = select(func.max(crawl_run.c.number)).where(_has_quality).group_by(crawl_run.c.source)
        query = select(crawl_run).where(crawl_run.c.number.in_(newest)).order_by(crawl_run.c.source)
        with read_connection(self._engine) as connection:
            return [_report(connection, row) for row in connection.execute(query).all()]

    def list_for_source(self, source: str, *, limit: int) -> list[RunQualityReport]:
        """Returns the reports of runs of the source, newest first."""
        query = select(crawl_run).where(crawl_run.c.source == source, _has_quality)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query.order_by(crawl_run.c.number.desc()).limit(limit)).all()
            return [_report(connection, row) for row in rows]

    def get(self, run_id: str) -> RunQualityReport | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(crawl_run).where(crawl_run.c.run_id == run_id)).first()
            return None if row is None else _report(connection, row)


_VISITED_ALL = (RunState.COMPLETE.value, RunState.HELD.value)
"""States of runs that visited all pages."""
_has_items = crawl_run.c.valid + crawl_run.c.invalid > 0
_has_quality = _has_items | crawl_run.c.state.in_(_VISITED_ALL)
"""A run that visited all pages and scraped no item also has a report, because the shop may have changed its layout."""


def _report(connection: Connection, run: Row[Any]) -> RunQualityReport:
    earlier_runs = _earlier_runs(connection, run)
    items, valid = run.valid + run.invalid, run.valid
    earlier_items = sum(row.valid + row.invalid for row in earlier_runs)
    earlier_valid = sum(row.valid for row in earlier_runs)
    filled = _filled(connection, [run.number])
    earlier_filled = _filled(connection, [row.number for row in earlier_runs])
    fields = tuple(
        _field(name, filled.get(name, 0), valid, _rate(earlier_filled.get(name, 0), earlier_valid))
        for name in FILL_FIELDS
    )
    validity, earlier_validity = _rate(valid, items), _rate(earlier_valid, earlier_items)
    fall = _fall(validity, earlier_validity)
    is_empty = run.state in _VISITED_ALL and not items and earlier_items >= MIN_COMPARED_ITEMS
    return RunQualityReport(
        run_id=run.run_id,
        source=run.source,
        state=RunState(run.state),
        started_at=None if run.started_at is None else from_millis(run.started_at),
        items=items,
        valid=valid,
        validity=validity,
        earlier_validity=earlier_validity,
        validity_fall=fall,
        fell=is_empty or _has_fallen(fall, items) or any(field.fell for field in fields),
        fields=fields,
        faults=_faults(connection, run.number),
        field_faults=count_field_faults(connection, run.number),
        assertions=_assertions(run, expectations_from_row(run), filled),
        earlier_runs=tuple(row.run_id for row in earlier_runs),
    )


def _earlier_runs(connection: Connection, run: Row[Any]) -> Sequence[Any]:
    query = (
        select(crawl_run.c.run_id, crawl_run.c.number, crawl_run.c.valid, crawl_run.c.invalid)
        .where(
            crawl_run.c.source == run.source,
            crawl_run.c.number < run.number,
            crawl_run.c.state == RunState.COMPLETE.value,
            _has_items,
        )
        .order_by(crawl_run.c.number.desc())
        .limit(COMPARED_RUNS)
    )
    return connection.execute(query).all()


def _filled(connection: Connection, run_numbers: Sequence[int]) -> dict[str, int]:
    query = (
        select(run_field.c.field, func.sum(run_field.c.filled).label("filled"))
        .where(run_field.c.run_number.in_(run_numbers))
        .group_by(run_field.c.field)
    )
    return {row.field: int(row.filled) for row in connection.execute(query)}


def _faults(connection: Connection, run_number: int) -> tuple[FaultCount, ...]:
    query = (
        select(run_fault)
        .where(run_fault.c.run_number == run_number, run_fault.c.refused > 0)
        .order_by(run_fault.c.refused.desc(), run_fault.c.field, run_fault.c.code)
        .limit(_MAX_FAULTS)
    )
    return tuple(FaultCount(field=row.field, code=row.code, items=row.refused) for row in connection.execute(query))


def _field(name: str, filled: int, valid: int, earlier: float | None) -> FieldQuality:
    rate = _rate(filled, valid)
    fall = _fall(rate, earlier)
    return FieldQuality(
        field=name, filled=filled, fill_rate=rate, earlier=earlier, fall=fall, fell=_has_fallen(fall, valid)
    )


def _assertions(run: Row[Any], expect: Expectations, filled: dict[str, int]) -> tuple[Assertion, ...]:
    assertions: list[Assertion] = []
    if expect.items is not None and run.whole_source:
        holds = run.valid >= expect.items
        assertions.append(Assertion(kind="items", field=None, least=expect.items, actual=run.valid, holds=holds))
    for name, least in sorted(expect.fill.items()):
        rate = _rate(filled.get(name, 0), run.valid)
        holds = run.invalid == 0 if rate is None else rate >= least
        assertions.append(Assertion(kind="fill", field=name, least=least, actual=rate, holds=holds))
    pages = {outcome: getattr(run, page_column(outcome).name) for outcome in PageOutcome}
    for outcome, most in sorted(expect.pages.items()):
        share = _rate(pages[outcome], sum(pages.values()))
        holds = share is None or share <= most
        assertions.append(Assertion(kind="pages", field=outcome.value, most=most, actual=share, holds=holds))
    return tuple(assertions)


def _rate(part: int, total: int) -> float | None:
    return round(part / total, 4) if total else None


def _fall(rate: float | None, earlier: float | None) -> float | None:
    return None if rate is None or earlier is None else round(earlier - rate, 4)


def _has_fallen(fall: float | None, items: int) -> bool:
    return fall is not None and fall >= SIGNIFICANT_FALL and items >= MIN_COMPARED_ITEMS

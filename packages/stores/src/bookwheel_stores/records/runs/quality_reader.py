"""Quality of runs as figures of their own and beside those of the runs before them."""

from collections.abc import Sequence
from typing import Any

from bookwheel_contracts import Assertion, Expectations, FaultCount, FieldQuality, RunQualityReport, RunState
from bookwheel_contracts.crawls import FILL_FIELDS
from sqlalchemy import Connection, Engine, Row, func, select

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.runs.approvals import expectations
from bookwheel_stores.records.tables import crawl_run, run_fault, run_field
from bookwheel_stores.records.values import from_millis

COMPARED_RUNS = 5
FALL = 0.1
"""A rate that is lower than before by so much has fallen: a tenth of all items lack what they had."""
LEAST_ITEMS = 20
"""Of fewer items a rate says too little to call anything a fall."""
_MOST_FAULTS = 50


class QualityReader:
    """Each call sees one consistent snapshot."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def list_latest(self) -> list[RunQualityReport]:
        """The latest run that tells anything of each source, by source."""
        newest = select(func.max(crawl_run.c.number)).where(_is_telling).group_by(crawl_run.c.source)
        query = select(crawl_run).where(crawl_run.c.number.in_(newest)).order_by(crawl_run.c.source)
        with read_connection(self._engine) as connection:
            return [_report(connection, row) for row in connection.execute(query).all()]

    def list_for_source(self, source: str, *, limit: int) -> list[RunQualityReport]:
        """The source's runs that tell anything, newest first."""
        query = select(crawl_run).where(crawl_run.c.source == source, _is_telling)
        with read_connection(self._engine) as connection:
            rows = connection.execute(query.order_by(crawl_run.c.number.desc()).limit(limit)).all()
            return [_report(connection, row) for row in rows]

    def get(self, run_id: str) -> RunQualityReport | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(crawl_run).where(crawl_run.c.run_id == run_id)).first()
            return None if row is None else _report(connection, row)


_THROUGH = (RunState.COMPLETE.value, RunState.HELD.value)
"""States of runs that went through all there was."""
_has_items = crawl_run.c.valid + crawl_run.c.invalid > 0
_is_telling = _has_items | crawl_run.c.state.in_(_THROUGH)
"""A run that went through and found nothing tells most: the shop has changed its layout."""


def _report(connection: Connection, run: Row[Any]) -> RunQualityReport:
    earlier = _earlier_runs(connection, run)
    items, valid = run.valid + run.invalid, run.valid
    before_items = sum(row.valid + row.invalid for row in earlier)
    before_valid = sum(row.valid for row in earlier)
    filled = _filled(connection, [run.number])
    filled_before = _filled(connection, [row.number for row in earlier])
    fields = tuple(
        _field(name, filled.get(name, 0), valid, _rate(filled_before.get(name, 0), before_valid))
        for name in FILL_FIELDS
    )
    validity, earlier_validity = _rate(valid, items), _rate(before_valid, before_items)
    fall = _fall(validity, earlier_validity)
    found_nothing = run.state in _THROUGH and not items and before_items >= LEAST_ITEMS
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
        fell=found_nothing or _has_fallen(fall, items) or any(field.fell for field in fields),
        fields=fields,
        faults=_faults(connection, run.number),
        assertions=_assertions(run, expectations(run), filled),
        earlier_runs=tuple(row.run_id for row in earlier),
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
        .limit(_MOST_FAULTS)
    )
    return tuple(FaultCount(field=row.field, code=row.code, items=row.refused) for row in connection.execute(query))


def _field(name: str, filled: int, valid: int, earlier: float | None) -> FieldQuality:
    rate = _rate(filled, valid)
    fall = _fall(rate, earlier)
    return FieldQuality(
        field=name, filled=filled, fill_rate=rate, earlier=earlier, fall=fall, fell=_has_fallen(fall, valid)
    )


def _assertions(run: Row[Any], expect: Expectations, filled: dict[str, int]) -> tuple[Assertion, ...]:
    found: list[Assertion] = []
    if expect.items is not None and run.whole_source:
        enough = run.valid >= expect.items
        found.append(Assertion(kind="items", field=None, least=expect.items, actual=run.valid, holds=enough))
    for name, least in sorted(expect.fill.items()):
        rate = _rate(filled.get(name, 0), run.valid)
        holds = run.invalid == 0 if rate is None else rate >= least
        found.append(Assertion(kind="fill", field=name, least=least, actual=rate, holds=holds))
    return tuple(found)


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _fall(rate: float | None, earlier: float | None) -> float | None:
    return None if rate is None or earlier is None else round(earlier - rate, 4)


def _has_fallen(fall: float | None, items: int) -> bool:
    return fall is not None and fall >= FALL and items >= LEAST_ITEMS

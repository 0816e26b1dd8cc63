"""Reads and writes the approval of runs and their staged items, inside the transaction of the caller."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import Expectations, Hold, HoldExamples, RunState
from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, or_, select, update

from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.runs.ledger import accounted_items, accounted_pages
from bookwheel_stores.records.runs.store import ApprovalState
from bookwheel_stores.records.tables import crawl_run, offer, staged_item


class ApprovalRow(NamedTuple):
    """The approval of a run.

    `known_offers` is the number of the source's offers when the run began, None before its first item. `unchanged` is
    the number of items with this verdict.
    """

    number: int
    run_id: str
    source: str
    state: ApprovalState
    known_offers: int | None
    unchanged: int
    expectations: Expectations


class StagedItem(NamedTuple):
    """`body` is the body of the stream entry as text."""

    item_number: int
    source_key: str
    entry_id: str
    body: str


class RunApprovals:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, run_numbers: Collection[int]) -> list[ApprovalRow]:
        query = select(*_approval_columns).where(crawl_run.c.number.in_(run_numbers)).order_by(crawl_run.c.number)
        return [
            ApprovalRow(
                row.number,
                row.run_id,
                row.source,
                ApprovalState(row.gate),
                row.known,
                row.unchanged,
                self.effective_expectations(row),
            )
            for row in self._connection.execute(query).all()
        ]

    def effective_expectations(self, run: Row[Any]) -> Expectations:
        """Returns the expectations of the run; before its start message, those of the last run of its source.

        The start message may be in a slower batch, or lost.
        """
        if run.expect is not None:
            return expectations_from_row(run)
        earlier_runs = select(crawl_run.c.expect).where(
            crawl_run.c.source == run.source, crawl_run.c.started_at.is_not(None), crawl_run.c.expect.is_not(None)
        )
        last = earlier_runs.order_by(crawl_run.c.started_at.desc(), crawl_run.c.run_id.desc()).limit(1)
        row = self._connection.execute(last).first()
        return Expectations() if row is None else expectations_from_row(row)

    def stage(self, run_number: int, items: Sequence[StagedItem]) -> None:
        """Stores items until the run is decided. Also call `record_batch` with their number."""
        rows = [{"run_number": run_number, **item._asdict()} for item in items]
        dialect_of(self._connection).insert_rows(self._connection, staged_item, rows)

    def record_batch(self, run_number: int, *, known_offers: int, staged: int, approves: bool) -> None:
        """Adds the counts of a batch. Only the first `known_offers` is stored. A decided run ignores `approves`."""
        changes: dict[str, Any] = {
            "known": func.coalesce(crawl_run.c.known, known_offers),
            "staged": crawl_run.c.staged + staged,
        }
        if approves:
            is_pending = crawl_run.c.gate == ApprovalState.PENDING.value
            changes["gate"] = case((is_pending, ApprovalState.APPROVED.value), else_=crawl_run.c.gate)
        self._connection.execute(update(crawl_run).where(crawl_run.c.number == run_number).values(changes))

    def list_due(self, run_numbers: Collection[int] | None) -> list[int]:
        """Returns the running runs that can proceed, ordered by their start.

        They have all items and their finish message, or staged items to apply, or they are discarded.

        If `run_numbers` is None, all runs are considered.
        """
        query = select(crawl_run.c.number).where(_is_due)
        if run_numbers is not None:
            query = query.where(crawl_run.c.number.in_(run_numbers))
        return list(self._connection.scalars(query.order_by(crawl_run.c.started_at, crawl_run.c.run_id)))

    def lock_due(self, run_number: int) -> Row[Any] | None:
        """Locks and returns the row of the run, with its `approval` and `has_ended`; None if the run is not due."""
        query = (
            select(crawl_run, crawl_run.c.gate.label("approval"), HAS_ENDED.label("has_ended"))
            .where(crawl_run.c.number == run_number, _is_due)
            .with_for_update(key_share=True)
        )
        return self._connection.execute(query).first()

    def list_staged(self, run_number: int, *, limit: int) -> list[StagedItem]:
        """Returns staged items of the run, ordered by item number."""
        columns = [staged_item.c[name] for name in StagedItem._fields]
        query = select(*columns).where(staged_item.c.run_number == run_number)
        rows = self._connection.execute(query.order_by(staged_item.c.item_number).limit(limit))
        return [StagedItem(*row) for row in rows]

    def count_live_offers(self, run_number: int, source: str) -> int:
        """Returns the number of existing offers of the source with staged items in the run."""
        query = select(func.count(staged_item.c.source_key.distinct())).where(
            staged_item.c.run_number == run_number,
            offer.c.source == source,
            offer.c.source_key == staged_item.c.source_key,
            offer.c.removed_at.is_(None),
        )
        return self._connection.scalar(query) or 0

    def unstage(self, run_number: int, item_numbers: Iterable[int]) -> None:
        """Deletes staged items after they received their verdict."""
        numbers = list(item_numbers)
        belongs_to_run = staged_item.c.run_number == run_number
        self._connection.execute(delete(staged_item).where(belongs_to_run, staged_item.c.item_number.in_(numbers)))
        self.update(run_number, staged=crawl_run.c.staged - len(numbers))

    def list_staged_examples(self, run: Row[Any], *, modifies: bool, limit: int) -> list[StagedItem]:
        """Returns staged items that would modify an existing offer, or that would add one."""
        columns = [staged_item.c[name] for name in StagedItem._fields]
        existing = select(offer.c.number).where(
            offer.c.source == run.source, offer.c.source_key == staged_item.c.source_key, offer.c.removed_at.is_(None)
        )
        condition = existing.exists() if modifies else ~existing.exists()
        query = select(*columns).where(staged_item.c.run_number == run.number, condition)
        rows = self._connection.execute(query.order_by(staged_item.c.item_number).limit(limit))
        return [StagedItem(*row) for row in rows]

    def get_offers(self, source: str, source_keys: Collection[str]) -> list[dict[str, Any]]:
        """Returns the rows of these offers."""
        query = select(offer).where(offer.c.source == source, offer.c.source_key.in_(list(source_keys)))
        return [dict(row) for row in self._connection.execute(query).mappings()]

    def hold(self, run_number: int, hold: Hold, examples: HoldExamples | None = None) -> None:
        """Holds the run until an operator decides."""
        self.update(
            run_number,
            state=RunState.HELD.value,
            hold=hold.model_dump_json(),
            hold_examples=None if examples is None else examples.model_dump_json(),
        )

    def update(self, run_number: int, **columns: Any) -> None:
        self._connection.execute(update(crawl_run).where(crawl_run.c.number == run_number).values(columns))


def expectations_from_row(row: Row[Any]) -> Expectations:
    return Expectations.model_validate_json(row.expect) if row.expect else Expectations()


_approval_columns = [
    crawl_run.c[name] for name in ("number", "run_id", "source", "gate", "known", "unchanged", "expect")
]
HAS_ENDED: ColumnElement[bool] = (
    crawl_run.c.finished_state.is_not(None)
    & (crawl_run.c.scraped <= accounted_items)
    & (func.coalesce(crawl_run.c.published_pages, 0) <= accounted_pages)
)
_has_releasable_items = (crawl_run.c.gate != ApprovalState.PENDING.value) & (crawl_run.c.staged > 0)
_is_due = (crawl_run.c.state == RunState.RUNNING.value) & or_(
    HAS_ENDED, _has_releasable_items, crawl_run.c.gate == ApprovalState.DISCARDED.value
)

"""Which runs may touch the catalog, and the items that wait for it. Inside the caller's transaction."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from bookwheel_contracts import Expectations, Hold, RunState
from sqlalchemy import ColumnElement, Connection, Row, case, delete, func, or_, select, update

from bookwheel_stores.records.database.bulk import insert_rows
from bookwheel_stores.records.runs.ledger import accounted
from bookwheel_stores.records.runs.store import ApprovalState
from bookwheel_stores.records.tables import crawl_run, held_item, offer


class ApprovalRow(NamedTuple):
    """`known_offers` is None before the run's first item. `unchanged` counts its items with that verdict."""

    number: int
    run_id: str
    source: str
    state: ApprovalState
    known_offers: int | None
    unchanged: int
    expectations: Expectations


class StagedItem(NamedTuple):
    """`body` is the stream's entry as it came, as text."""

    item_number: int
    source_key: str
    entry_id: str
    body: str


class RunApprovals:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, run_numbers: Collection[int]) -> list[ApprovalRow]:
        query = select(*_gate_columns).where(crawl_run.c.number.in_(run_numbers)).order_by(crawl_run.c.number)
        return [
            ApprovalRow(
                row.number,
                row.run_id,
                row.source,
                ApprovalState(row.gate),
                row.known,
                row.unchanged,
                self.expectations(row),
            )
            for row in self._connection.execute(query).all()
        ]

    def expectations(self, run: Row[Any]) -> Expectations:
        """What the run is held to. As long as its start has not arrived, which another batch may bring and be slower
        with, or which is lost, that is what its source's last run was held to."""
        if run.expect is not None:
            return expectations(run)
        query = select(crawl_run.c.expect).where(
            crawl_run.c.source == run.source, crawl_run.c.started_at.is_not(None), crawl_run.c.expect.is_not(None)
        )
        last = query.order_by(crawl_run.c.started_at.desc(), crawl_run.c.run_id.desc()).limit(1)
        row = self._connection.execute(last).first()
        return Expectations() if row is None else expectations(row)

    def stage(self, run_number: int, items: Sequence[StagedItem]) -> None:
        """Stores items until the run is decided. Call `record_batch` with their number, too."""
        insert_rows(self._connection, held_item, [{"run_number": run_number, **item._asdict()} for item in items])

    def record_batch(self, run_number: int, *, known_offers: int, staged: int, approves: bool) -> None:
        """Adds the counts of a batch. `known_offers` takes effect once; `approves` has no effect on a decided run."""
        changes: dict[str, Any] = {
            "known": func.coalesce(crawl_run.c.known, known_offers),
            "staged": crawl_run.c.staged + staged,
        }
        if approves:
            is_pending = crawl_run.c.gate == ApprovalState.PENDING.value
            changes["gate"] = case((is_pending, ApprovalState.APPROVED.value), else_=crawl_run.c.gate)
        self._connection.execute(update(crawl_run).where(crawl_run.c.number == run_number).values(changes))

    def list_due(self, run_numbers: Collection[int] | None) -> list[int]:
        """Of these runs, or of all, those with something left to be done: staged items that may go, or their end.

        In the order in which they started, whichever ended or was told of first.
        """
        query = select(crawl_run.c.number).where(_is_due)
        if run_numbers is not None:
            query = query.where(crawl_run.c.number.in_(run_numbers))
        return list(self._connection.scalars(query.order_by(crawl_run.c.started_at, crawl_run.c.run_id)))

    def lock_due(self, run_number: int) -> Row[Any] | None:
        """The run's whole row, locked, with `has_ended`; None where nothing is due any more."""
        query = (
            select(crawl_run, HAS_ENDED.label("has_ended"))
            .where(crawl_run.c.number == run_number, _is_due)
            .with_for_update(key_share=True)
        )
        return self._connection.execute(query).first()

    def list_staged(self, run_number: int, *, limit: int) -> list[StagedItem]:
        """The first of the run's items that wait."""
        columns = [held_item.c[name] for name in StagedItem._fields]
        query = select(*columns).where(held_item.c.run_number == run_number)
        rows = self._connection.execute(query.order_by(held_item.c.item_number).limit(limit))
        return [StagedItem(*row) for row in rows]

    def count_live_offers(self, run_number: int, source: str) -> int:
        """How many of the source's offers the run's staged items are of, without those that are new."""
        query = select(func.count(held_item.c.source_key.distinct())).where(
            held_item.c.run_number == run_number,
            offer.c.source == source,
            offer.c.source_key == held_item.c.source_key,
            offer.c.removed_at.is_(None),
        )
        return self._connection.scalar(query) or 0

    def unstage(self, run_number: int, item_numbers: Iterable[int]) -> None:
        """These items have their verdict now."""
        numbers = list(item_numbers)
        of_run = held_item.c.run_number == run_number
        self._connection.execute(delete(held_item).where(of_run, held_item.c.item_number.in_(numbers)))
        self.update(run_number, staged=crawl_run.c.staged - len(numbers))

    def hold(self, run_number: int, hold: Hold) -> None:
        """The run waits for an operator."""
        self.update(run_number, state=RunState.HELD.value, hold=hold.model_dump_json())

    def update(self, run_number: int, **columns: Any) -> None:
        self._connection.execute(update(crawl_run).where(crawl_run.c.number == run_number).values(columns))


def expectations(row: Row[Any]) -> Expectations:
    return Expectations.model_validate_json(row.expect) if row.expect else Expectations()


_gate_columns = [crawl_run.c[name] for name in ("number", "run_id", "source", "gate", "known", "unchanged", "expect")]
HAS_ENDED: ColumnElement[bool] = crawl_run.c.finished_state.is_not(None) & (crawl_run.c.scraped <= accounted)
_may_go = (crawl_run.c.gate != ApprovalState.PENDING.value) & (crawl_run.c.staged > 0)
_is_due = (crawl_run.c.state == RunState.RUNNING.value) & or_(
    HAS_ENDED, _may_go, crawl_run.c.gate == ApprovalState.DISCARDED.value
)

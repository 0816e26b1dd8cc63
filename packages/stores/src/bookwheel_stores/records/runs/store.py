"""Reads crawl runs for API clients and operators, and stores requests and decisions."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from bookwheel_contracts import (
    CrawlCounts,
    CrawlRequest,
    CrawlRun,
    Hold,
    HoldExamples,
    PageCounts,
    PageOutcome,
    RunState,
    Verdict,
)
from sqlalchemy import Column, Engine, Row, exists, func, select, update

from bookwheel_stores.records.database.connection import dialect_of, read_connection
from bookwheel_stores.records.feed.change_feed import SEARCH_PROJECTION
from bookwheel_stores.records.tables import crawl_run, projection
from bookwheel_stores.records.values import from_millis, to_millis

FINAL_STATES = frozenset({RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED})


def page_column(outcome: PageOutcome) -> Column[Any]:
    """The column of `crawl_run` with the number of pages that have this outcome."""
    return crawl_run.c[f"{outcome.value}_pages"]


class ApprovalState(StrEnum):
    """Whether a run may modify the catalog.

    `PENDING`: items that would modify the catalog are staged. `APPROVED`: items are applied, because the run cannot
    exceed the hold policy any more. `RELEASED`: the run met the policy at its end, or an operator released it.
    `DISCARDED`: the staged items are quarantined.
    The values are those of the column `gate` and keep earlier names.
    """

    PENDING = "shut"
    APPROVED = "open"
    RELEASED = "released"
    DISCARDED = "discarding"


class RunStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create_requested(self, request: CrawlRequest) -> None:
        """Creates a requested run. Idempotent, also if the first items of the run have already created it."""
        requested = {
            "start_url": request.start_url,
            "requested_at": to_millis(request.requested_at),
            "requested_by": request.requested_by,
            "traceparent": request.traceparent,
        }
        row = {
            "run_id": request.run_id,
            "source": request.source,
            "state": RunState.QUEUED.value,
            "touched_at": requested["requested_at"],
            **requested,
        }
        update_run = update(crawl_run).where(crawl_run.c.run_id == request.run_id, crawl_run.c.requested_at.is_(None))
        with self._engine.begin() as connection:
            dialect_of(connection).insert_or_ignore(connection, crawl_run, [row])
            start_url = func.coalesce(crawl_run.c.start_url, request.start_url)
            connection.execute(update_run.values(**requested | {"start_url": start_url}))

    def get(self, run_id: str) -> CrawlRun | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select_runs.where(crawl_run.c.run_id == run_id)).first()
        return run_from_row(row) if row else None

    def get_hold_examples(self, run_id: str) -> HoldExamples:
        """Returns the examples that were stored when the run was held; none for a run of an earlier version."""
        with read_connection(self._engine) as connection:
            text = connection.scalar(select(crawl_run.c.hold_examples).where(crawl_run.c.run_id == run_id))
        return HoldExamples.model_validate_json(text) if text else HoldExamples()

    def decide(self, run_id: str, *, release: bool, by: str, now: datetime) -> bool:
        """Stores the decision of an operator on a held run for the processor. Returns False if the run is not held.

        If it is released, the staged items are applied and the missing offers are removed. If it is discarded, the
        staged items are quarantined, and the run ends as cancelled.
        """
        is_held = (crawl_run.c.run_id == run_id) & (crawl_run.c.state == RunState.HELD.value)
        with self._engine.begin() as connection:
            row = connection.execute(select(crawl_run.c.hold).where(is_held).with_for_update(key_share=True)).first()
            if row is None:
                return False
            decision = {"decision": "released" if release else "discarded", "decided_at": now, "decided_by": by}
            hold = Hold.model_validate_json(row.hold).model_copy(update=decision)
            approval = ApprovalState.RELEASED if release else ApprovalState.DISCARDED
            values = {"state": RunState.RUNNING.value, "gate": approval.value, "hold": hold.model_dump_json()}
            connection.execute(update(crawl_run).where(is_held).values(values))
        return True

    def list_latest(self, *, source: str | None = None, state: RunState | None = None, limit: int) -> list[CrawlRun]:
        """Returns runs, newest first. Without `source` or `state`, returns the runs of all sources or states."""
        query = select_runs.order_by(crawl_run.c.number.desc()).limit(limit)
        if source is not None:
            query = query.where(crawl_run.c.source == source)
        if state is not None:
            query = query.where(crawl_run.c.state == state.value)
        with read_connection(self._engine) as connection:
            return [run_from_row(row) for row in connection.execute(query)]

    def get_latest_changes(self) -> "RunChanges":
        """Returns the last change of all complete runs and whether a run is running."""
        last = select(func.max(crawl_run.c.last_change)).where(crawl_run.c.state == RunState.COMPLETE.value)
        is_running = select(exists().where(crawl_run.c.state == RunState.RUNNING.value))
        with read_connection(self._engine) as connection:
            return RunChanges(connection.scalar(last) or 0, bool(connection.scalar(is_running)))


class RunChanges(NamedTuple):
    """`last_change` is the sequence of the last change of all complete runs; 0 before the first complete run."""

    last_change: int
    is_any_running: bool


_search_cursor = select(projection.c.sequence).where(projection.c.name == SEARCH_PROJECTION).scalar_subquery()
select_runs = select(crawl_run, func.coalesce(_search_cursor, 0).label("search_cursor"))


def run_from_row(row: Row[Any]) -> CrawlRun:
    """Converts a row of `select_runs`. Before the finish message, `scraped` counts the items that arrived."""
    verdicts = {verdict.value: getattr(row, verdict.value) for verdict in Verdict}
    accounted = sum(verdicts.values()) + row.staged
    page_counts = {outcome.value: getattr(row, page_column(outcome).name) for outcome in PageOutcome}
    state = RunState(row.state)
    hold = Hold.model_validate_json(row.hold) if row.hold else None

    def moment(millis: int | None) -> Any:
        return None if millis is None else from_millis(millis)

    return CrawlRun(
        id=row.run_id,
        source=row.source,
        start_url=row.start_url,
        state=state,
        reason="; ".join(reason.message for reason in hold.reasons) if hold and state is RunState.HELD else row.reason,
        requested_at=moment(row.requested_at),
        started_at=moment(row.started_at),
        finished_at=moment(row.finished_at) if state in FINAL_STATES or state is RunState.HELD else None,
        counts=CrawlCounts(
            scraped=accounted if row.scraped is None else max(row.scraped, accounted), staged=row.staged, **verdicts
        ),
        missed=row.missed,
        removed=row.removed,
        hold=hold,
        pages=max(row.pages, sum(page_counts.values())),
        page_counts=PageCounts(**page_counts),
        errors=row.errors,
        faults=row.faults,
        searchable=state in FINAL_STATES and row.search_cursor >= row.last_change,
    )

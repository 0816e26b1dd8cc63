"""Crawl runs: what was asked for, what became of it."""

from typing import Any

from bookwheel_contracts import CrawlCounts, CrawlRequest, CrawlRun, RunState, Verdict
from sqlalchemy import Engine, Row, func, select, update

from bookwheel_stores.records.bulk import insert_ignoring
from bookwheel_stores.records.change_feed import SEARCH_PROJECTION
from bookwheel_stores.records.database import reading
from bookwheel_stores.records.tables import crawl_run, projection
from bookwheel_stores.records.values import from_millis, to_millis

FINAL_STATES = frozenset({RunState.COMPLETE, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED})


class RunStore:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def queue(self, request: CrawlRequest) -> None:
        """Notes a requested run. Does no harm when repeated, nor when the run's first items were faster."""
        asked = {
            "start_url": request.start_url,
            "requested_at": to_millis(request.requested_at),
            "requested_by": request.requested_by,
            "traceparent": request.traceparent,
        }
        row = {
            "run_id": request.run_id,
            "source": request.source,
            "state": RunState.QUEUED.value,
            "touched_at": asked["requested_at"],
            **asked,
        }
        known = update(crawl_run).where(crawl_run.c.run_id == request.run_id, crawl_run.c.requested_at.is_(None))
        with self._engine.begin() as connection:
            insert_ignoring(connection, crawl_run, [row])
            start_url = func.coalesce(crawl_run.c.start_url, request.start_url)
            connection.execute(known.values(**asked | {"start_url": start_url}))

    def get(self, run_id: str) -> CrawlRun | None:
        with reading(self._engine) as connection:
            row = connection.execute(select_runs.where(crawl_run.c.run_id == run_id)).first()
        return run_of(row) if row else None

    def latest(self, *, source: str | None = None, limit: int) -> list[CrawlRun]:
        """Newest first, of one source or of all."""
        query = select_runs.order_by(crawl_run.c.number.desc()).limit(limit)
        if source is not None:
            query = query.where(crawl_run.c.source == source)
        with reading(self._engine) as connection:
            return [run_of(row) for row in connection.execute(query)]


_indexed = select(projection.c.sequence).where(projection.c.name == SEARCH_PROJECTION).scalar_subquery()
select_runs = select(crawl_run, func.coalesce(_indexed, 0).label("indexed"))


def run_of(row: Row[Any]) -> CrawlRun:
    """Before the scraper has said how many items it scraped, `scraped` is the number accounted for so far."""
    verdicts = {verdict.value: getattr(row, verdict.value) for verdict in Verdict}
    accounted = sum(verdicts.values())
    state = RunState(row.state)

    def moment(millis: int | None) -> Any:
        return None if millis is None else from_millis(millis)

    return CrawlRun(
        id=row.run_id,
        source=row.source,
        start_url=row.start_url,
        state=state,
        reason=row.reason,
        requested_at=moment(row.requested_at),
        started_at=moment(row.started_at),
        finished_at=moment(row.finished_at) if state in FINAL_STATES else None,
        counts=CrawlCounts(scraped=accounted if row.scraped is None else max(row.scraped, accounted), **verdicts),
        pages=row.pages,
        errors=row.errors,
        searchable=state in FINAL_STATES and row.indexed >= row.last_change,
    )

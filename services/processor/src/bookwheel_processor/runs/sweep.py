"""Finishes runs whose items or finish message are lost, and deletes processed items, pages and faults of old runs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM, run_key
from bookwheel_stores.records import in_transaction
from bookwheel_stores.records.runs.field_faults import FieldFaultWriter
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.pages import RunPageWriter
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.streams import BODY_FIELD
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class SweepResult:
    finished_runs: int
    processed_items: int


def sweep_runs(
    engine: Engine, redis: Redis, *, now: datetime, settle_after: float, receipt_days: int, stream_is_idle: bool
) -> SweepResult:
    """Finish runs with lost items or pages, if the stream is idle, and delete old processed items.

    On an idle stream the missing items of a run cannot arrive any more. Redis can lose them: a power cut can lose the
    last second of entries, which the scraper counted as published. If Redis loses everything, it has no crawl requests
    and no running crawls.
    """

    def sweep(connection: Connection) -> SweepResult:
        ledger = RunLedger(connection)
        before = to_millis(now - timedelta(seconds=settle_after))
        finished_runs = 0
        if stream_is_idle:
            finished_runs = ledger.close_incomplete(before=before)
            if unfinished := ledger.list_unfinished(before=before):
                finished_runs += ledger.finish_abandoned(unfinished - _list_runs_in_redis(redis, unfinished))
        processed_items = ledger.purge_processed(before=to_millis(now - timedelta(days=receipt_days)))
        return SweepResult(finished_runs, processed_items)

    return in_transaction(engine, sweep)


def delete_old_pages(engine: Engine, *, before: datetime) -> int:
    """Delete the pages and field faults of runs that ended before `before`; return the number of pages."""

    def delete(connection: Connection) -> int:
        FieldFaultWriter(connection).purge(before=to_millis(before))
        return RunPageWriter(connection).purge(before=to_millis(before))

    return in_transaction(engine, delete)


def _list_runs_in_redis(redis: Redis, run_ids: set[str]) -> set[str]:
    """Return the runs whose request or progress is still in Redis."""
    entries: Any = redis.xrange(CRAWL_STREAM)
    requested = set()
    for _, fields in entries:
        try:
            requested.add(CrawlRequest.model_validate_json(fields.get(BODY_FIELD, b"")).run_id)
        except ValidationError:
            continue
    return {run_id for run_id in run_ids if run_id in requested or redis.exists(run_key(run_id))}

"""Puts right what nothing else will: runs that wait for what is lost, and receipts nobody needs."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM, run_key
from bookwheel_stores.records import in_transaction
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.streams import BODY_FIELD
from pydantic import ValidationError
from redis import Redis
from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class SweepResult:
    settled: int
    receipts: int


def sweep_runs(
    engine: Engine, redis: Redis, *, now: datetime, settle_after: float, receipt_days: int, idle: bool
) -> SweepResult:
    """Closes runs whose missing items, or whose end, can no longer come, which takes an `idle` stream; drops receipts.

    A Redis that lost its last second in a power cut has lost items that the scraper knows it had published; one that
    lost everything knows neither the requests nor the runs that were under way.
    """

    def sweep(connection: Connection) -> SweepResult:
        ledger = RunLedger(connection)
        before = to_millis(now - timedelta(seconds=settle_after))
        settled = 0
        if idle:
            settled = ledger.close_incomplete(before=before)
            if endless := ledger.list_unfinished(before=before):
                settled += ledger.finish_abandoned(endless - _known(redis, endless))
        receipts = ledger.purge_processed(before=to_millis(now - timedelta(days=receipt_days)))
        return SweepResult(settled, receipts)

    return in_transaction(engine, sweep)


def _known(redis: Redis, run_ids: set[str]) -> set[str]:
    """Those that are asked for, or have published something, as far as Redis remembers."""
    asked: Any = redis.xrange(CRAWL_STREAM)
    known = set()
    for _, fields in asked:
        try:
            known.add(CrawlRequest.model_validate_json(fields.get(BODY_FIELD, b"")).run_id)
        except ValidationError:
            continue
    return {run_id for run_id in run_ids if run_id in known or redis.exists(run_key(run_id))}

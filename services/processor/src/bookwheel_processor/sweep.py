"""Puts right what nothing else will: runs that wait for items that are lost, and receipts nobody needs."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from bookwheel_stores.records import in_transaction
from bookwheel_stores.records.run_ledger import RunLedger
from bookwheel_stores.records.values import to_millis
from sqlalchemy import Connection, Engine


@dataclass(frozen=True, slots=True)
class SweepResult:
    settled: int
    receipts: int


def sweep_runs(engine: Engine, *, now: datetime, settle_after: float, receipt_days: int, idle: bool) -> SweepResult:
    """Closes runs as partial whose missing items can no longer come, which takes an `idle` stream; drops receipts.

    A Redis that lost its last second in a power cut has lost items that the scraper knows it had published.
    """

    def sweep(connection: Connection) -> SweepResult:
        ledger = RunLedger(connection)
        before = to_millis(now - timedelta(seconds=settle_after))
        settled = ledger.close_lost(before=before) if idle else 0
        receipts = ledger.forget_receipts(before=to_millis(now - timedelta(days=receipt_days)))
        return SweepResult(settled, receipts)

    return in_transaction(engine, sweep)

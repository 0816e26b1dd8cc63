"""Repairs derived data after the records are restored from a backup."""

from datetime import datetime

from bookwheel_stores.lake.export_writer import delete_export, export_versions, read_export
from bookwheel_stores.records import SEARCH_PROJECTION, in_transaction
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.values import to_millis
from sqlalchemy import Connection

from bookwheel_processor.worker.dependencies import Dependencies


def repair_after_restore(dependencies: Dependencies, *, now: datetime) -> int:
    """Reset the search index and the lake's silver, delete exports newer than the feed, and finish interrupted runs.

    Returns the number of finished runs. Idempotent. No other program of the suite may run.
    """
    feed, lake = dependencies.silver.feed, dependencies.lake
    for version in export_versions(lake):
        if version > feed.head() and (export := read_export(lake, version)) is not None:
            delete_export(lake, export)
    dependencies.silver.restart()
    feed.reset(SEARCH_PROJECTION)

    def finish_interrupted(connection: Connection) -> int:
        ledger, before = RunLedger(connection), to_millis(now)
        return ledger.finish_abandoned(ledger.list_unfinished(before=before)) + ledger.close_incomplete(before=before)

    return in_transaction(dependencies.engine, finish_interrupted)

"""What is to be mended once the records are those of a backup: all that was made of changes which they do not hold."""

from datetime import datetime

from bookwheel_stores.lake.export_writer import delete_export, export_versions, read_export
from bookwheel_stores.records import SEARCH_PROJECTION, in_transaction
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.values import to_millis
from sqlalchemy import Connection

from bookwheel_processor.worker.dependencies import Dependencies


def after_restore(parts: Dependencies, *, now: datetime) -> int:
    """Has the index and the lake's silver made anew, removes exports that are newer than the feed, and ends the runs
    that were under way; returns how many these were. Idempotent; nothing else of the suite may run.
    """
    feed, lake = parts.silver.feed, parts.lake
    for version in export_versions(lake):
        if version > feed.head() and (export := read_export(lake, version)) is not None:
            delete_export(lake, export)
    parts.silver.restart()
    feed.reset(SEARCH_PROJECTION)

    def end_interrupted(connection: Connection) -> int:
        ledger, before = RunLedger(connection), to_millis(now)
        return ledger.finish_abandoned(ledger.list_unfinished(before=before)) + ledger.close_incomplete(before=before)

    return in_transaction(parts.engine, end_interrupted)

"""The jobs that fill the lake. Each is safe to run at any time."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from bookwheel_contracts.redis_keys import EXPORT_STREAM, LAKE_GROUP, RAW_STREAM
from bookwheel_stores.lake.bronze import Bronze
from bookwheel_stores.lake.export_writer import delete_orphaned_files
from bookwheel_stores.records.database.connection import lease
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamEntry

from bookwheel_processor.lake.conversion import Conversion, convert_lake
from bookwheel_processor.lake.exports import Exports
from bookwheel_processor.worker.consumer import StreamConsumer
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.process_lock import process_lock

_BATCH_SIZE = 2000
_REFRESH_SECONDS = 120.0
"""The minimum time between two refreshes of the books while items arrive.

A refresh rewrites all books of each number range (`silver.BUCKET_SIZE`) in which a book changed.
"""
_MIN_UNUSED_AGE = timedelta(hours=1)
_SWEEP_SECONDS = 60.0


def run_bronze(dependencies: Dependencies) -> int:
    """Store the raw stream's entries as received; return their number."""
    with process_lock(dependencies.lock_folder, "bronze") as acquired:
        if not acquired:
            return 0
        bronze = Bronze(dependencies.lake)

        def store(entries: list[StreamEntry]) -> None:
            bronze.add(entries)

        reader = dependencies.reader(RAW_STREAM, group=LAKE_GROUP)
        return StreamConsumer(reader, _BATCH_SIZE, linger_ms=1).run(store)


def run_silver(dependencies: Dependencies) -> int:
    """Append the observations up to the feed's head; return the number of changes.

    Refresh the books and offers too if no items arrive, or if the last refresh is old.
    """
    with _lake_lock(dependencies) as acquired:
        if not acquired:
            return 0
        changes = dependencies.silver.append_observations()
        is_idle = not dependencies.reader(RAW_STREAM).has_backlog()
        if is_idle or dependencies.silver.seconds_since_refresh() > _REFRESH_SECONDS:
            dependencies.silver.refresh_books()
        return changes


def run_export(dependencies: Dependencies) -> int:
    """Write the exports that are requested or due; return the number of requests."""
    with _lake_lock(dependencies) as acquired:
        if not acquired:
            return 0
        settings = dependencies.settings
        exports = Exports(
            dependencies.lake,
            dependencies.engine,
            dependencies.silver,
            interval=settings.export_interval,
            max_exports=settings.exports_kept,
        )
        request_count = StreamConsumer(dependencies.reader(EXPORT_STREAM), _BATCH_SIZE, linger_ms=1).run(
            exports.handle_requests
        )
        exports.write_if_due()
        return request_count


def run_lake_sweep(dependencies: Dependencies, *, now: datetime | None = None) -> None:
    """Convert a lake of an earlier version, merge small files and remove unused ones, within a few minutes."""
    now = now or utc_now()
    lake, silver = dependencies.lake, dependencies.silver
    with _lake_lock(dependencies) as acquired:
        if not acquired:
            return
        lake.delete_scratch_files(before=now - _MIN_UNUSED_AGE)
        delete_orphaned_files(lake, before=now - _MIN_UNUSED_AGE)
        if not convert_lake(lake, silver, seconds=_SWEEP_SECONDS).is_complete:
            return
        date_partitioned_tables = (Bronze(lake).table, silver.tables.observations)
        for table in date_partitioned_tables:
            table.compact(today=now.date(), seconds=_SWEEP_SECONDS)
        for table in (*date_partitioned_tables, silver.tables.books, silver.tables.offers):
            table.vacuum()


def run_lake_conversion(dependencies: Dependencies) -> Conversion | None:
    """Convert a lake of an earlier version; None while another process writes to the lake. Raises LakeError."""
    with _lake_lock(dependencies) as acquired:
        return convert_lake(dependencies.lake, dependencies.silver, seconds=math.inf) if acquired else None


@contextmanager
def _lake_lock(dependencies: Dependencies) -> Iterator[bool]:
    """Yield whether this process is the only writer of silver and exports on all machines."""
    with process_lock(dependencies.lock_folder, "lake") as acquired_locally:
        if not acquired_locally:
            yield False
            return
        with lease(dependencies.engine, "lake") as acquired:
            yield acquired

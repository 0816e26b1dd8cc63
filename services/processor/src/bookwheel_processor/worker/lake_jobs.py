"""The rounds that fill the lake: plain functions over the dependencies, each safe to call at any time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from bookwheel_contracts.redis_keys import EXPORT_STREAM, LAKE_GROUP, RAW_STREAM
from bookwheel_stores.lake import Bronze, BronzeMerge
from bookwheel_stores.lake.export_writer import sweep_exports
from bookwheel_stores.records.database.connection import lease
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamEntry

from bookwheel_processor.lake.exports import Exports
from bookwheel_processor.worker.consumer import StreamConsumer
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.process_lock import process_lock

_BATCH = 2000
_REFRESH_SECONDS = 120.0
"""While items keep coming, current books are written no more often than this: each time, whole files of them."""
_LEFT_ASIDE = timedelta(hours=1)


def run_bronze(dependencies: Dependencies) -> int:
    """Keeps what the raw stream holds as it was received; returns the number of entries."""
    with process_lock(dependencies.lock_folder, "bronze") as acquired:
        if not acquired:
            return 0
        bronze = Bronze(dependencies.lake, dependencies.consumer)

        def take(entries: list[StreamEntry]) -> None:
            bronze.add(entries)

        reader = dependencies.reader(RAW_STREAM, group=LAKE_GROUP)
        return StreamConsumer(reader, _BATCH, linger_ms=1).run(take)


def run_silver(dependencies: Dependencies) -> int:
    """Brings silver up to the feed's head; returns the number of changes."""
    with _alone(dependencies) as acquired:
        if not acquired:
            return 0
        observed = dependencies.silver.observe()
        is_idle = not dependencies.reader(RAW_STREAM).has_backlog()
        if is_idle or dependencies.silver.seconds_since_refresh() > _REFRESH_SECONDS:
            dependencies.silver.refresh_books()
        if observed:
            dependencies.silver.compact()
        return observed


def run_export(dependencies: Dependencies) -> int:
    """Makes the versions that are asked for or due; returns the number of requests."""
    with _alone(dependencies) as acquired:
        if not acquired:
            return 0
        settings = dependencies.settings
        exports = Exports(
            dependencies.lake,
            dependencies.engine,
            dependencies.silver,
            interval=settings.export_interval,
            kept=settings.exports_kept,
        )
        fulfilled = StreamConsumer(dependencies.reader(EXPORT_STREAM), _BATCH, linger_ms=1).run(exports.fulfil)
        exports.make_if_due()
        return fulfilled


def run_lake_sweep(dependencies: Dependencies, *, now: datetime | None = None) -> None:
    """Removes what killed writers left, merges small files, and removes those that merged ones have replaced."""
    now = now or utc_now()
    with _alone(dependencies) as acquired:
        if acquired:
            dependencies.lake.sweep(before=now - _LEFT_ASIDE)
            sweep_exports(dependencies.lake, before=now - _LEFT_ASIDE)
            dependencies.silver.compact()
            _merge_bronze(dependencies, now)


def _merge_bronze(dependencies: Dependencies, now: datetime) -> None:
    """Of days that are over, once nothing of them is left in the stream that bronze has not got."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    last_of_yesterday = f"{int(today.timestamp() * 1000) - 1}"
    if dependencies.reader(RAW_STREAM, group=LAKE_GROUP).is_acked_up_to(last_of_yesterday):
        BronzeMerge(dependencies.lake).run(before=today.date(), now=now)


@contextmanager
def _alone(dependencies: Dependencies) -> Iterator[bool]:
    """Silver and the exports made of it have one writer at a time, on all machines."""
    with process_lock(dependencies.lock_folder, "lake") as acquired_locally:
        if not acquired_locally:
            yield False
            return
        with lease(dependencies.engine, "lake") as acquired:
            yield acquired

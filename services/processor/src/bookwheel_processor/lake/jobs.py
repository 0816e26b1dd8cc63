"""The rounds that fill the lake: plain functions over the parts, each safe to call at any time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from bookwheel_contracts.redis_keys import EXPORT_STREAM, LAKE_GROUP, RAW_STREAM
from bookwheel_stores.lake import Bronze, BronzeMerge
from bookwheel_stores.lake.export_writer import sweep_exports
from bookwheel_stores.records.database.leases import lease
from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamEntry

from bookwheel_processor.lake.exports import Exports
from bookwheel_processor.worker.consumer import Drain
from bookwheel_processor.worker.jobs import Dependencies
from bookwheel_processor.worker.process_lock import slot

_BATCH = 2000
_REFRESH_SECONDS = 120.0
"""While items keep coming, current books are written no more often than this: each time, whole files of them."""
_LEFT_ASIDE = timedelta(hours=1)


def bronze_round(parts: Dependencies) -> int:
    """Keeps what the raw stream holds as it was received; returns the number of entries."""
    with slot(parts.slots, "bronze") as is_mine:
        if not is_mine:
            return 0
        bronze = Bronze(parts.lake, parts.consumer)

        def take(entries: list[StreamEntry]) -> None:
            bronze.add(entries)

        reader = parts.reader(RAW_STREAM, group=LAKE_GROUP)
        return Drain(reader, _BATCH, linger_ms=1).run(take)


def silver_round(parts: Dependencies) -> int:
    """Brings silver up to the feed's head; returns the number of changes."""
    with _alone(parts) as is_mine:
        if not is_mine:
            return 0
        observed = parts.silver.observe()
        is_idle = not parts.reader(RAW_STREAM).has_backlog()
        if is_idle or parts.silver.seconds_since_refresh() > _REFRESH_SECONDS:
            parts.silver.refresh_books()
        if observed:
            parts.silver.compact()
        return observed


def export_round(parts: Dependencies) -> int:
    """Makes the versions that are asked for or due; returns the number of requests."""
    with _alone(parts) as is_mine:
        if not is_mine:
            return 0
        settings = parts.settings
        exports = Exports(
            parts.lake, parts.engine, parts.silver, interval=settings.export_interval, kept=settings.exports_kept
        )
        fulfilled = Drain(parts.reader(EXPORT_STREAM), _BATCH, linger_ms=1).run(exports.fulfil)
        exports.make_if_due()
        return fulfilled


def lake_sweep_round(parts: Dependencies, *, now: datetime | None = None) -> None:
    """Removes what killed writers left, merges small files, and removes those that merged ones have replaced."""
    now = now or utc_now()
    with _alone(parts) as is_mine:
        if is_mine:
            parts.lake.sweep(before=now - _LEFT_ASIDE)
            sweep_exports(parts.lake, before=now - _LEFT_ASIDE)
            parts.silver.compact()
            _merge_bronze(parts, now)


def _merge_bronze(parts: Dependencies, now: datetime) -> None:
    """Of days that are over, once nothing of them is left in the stream that bronze has not got."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    last_of_yesterday = f"{int(today.timestamp() * 1000) - 1}"
    if parts.reader(RAW_STREAM, group=LAKE_GROUP).is_acked_up_to(last_of_yesterday):
        BronzeMerge(parts.lake).run(before=today.date(), now=now)


@contextmanager
def _alone(parts: Dependencies) -> Iterator[bool]:
    """Silver and the exports made of it have one writer at a time, on all machines."""
    with slot(parts.slots, "lake") as is_ours:
        if not is_ours:
            yield False
            return
        with lease(parts.engine, "lake") as is_mine:
            yield is_mine

"""Parses the schedules of sources: `every 6h` or a cron expression, in UTC."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

Schedule = Callable[[datetime], datetime]
"""Maps a time to the latest due time at or before it."""
_INTERVAL = re.compile(r"^every (\d{1,4}) ?(s|m|h|d)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_schedule(text: str) -> Schedule:
    """Parses `every N(s|m|h|d)` or a cron expression. Raises ValueError."""
    interval = _INTERVAL.match(text)
    if interval is not None:
        return _build_interval_schedule(timedelta(seconds=int(interval[1]) * _SECONDS[interval[2]]))
    try:
        CronSim(text, _EPOCH)
    except CronSimError as error:
        raise ValueError(f"{text!r} is neither an interval like `every 6h` nor a cron expression: {error}") from None
    return lambda now: _find_latest_cron_time(text, now)


def _build_interval_schedule(interval: timedelta) -> Schedule:
    """Due times are multiples of the interval since the epoch, so all scrapers compute the same times."""
    if not interval:
        raise ValueError("the interval must be positive")
    return lambda now: _EPOCH + (now - _EPOCH) // interval * interval


def _find_latest_cron_time(text: str, now: datetime) -> datetime:
    # CronSim excludes its start time. It starts at the next minute, so that the current minute can be due.
    due_times = CronSim(text, now.replace(second=0, microsecond=0) + timedelta(minutes=1), reverse=True)
    return next(due_times)

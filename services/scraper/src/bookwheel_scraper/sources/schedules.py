"""When a source is due: `every 6h`, or the five fields of a cron line, in UTC."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError

Schedule = Callable[[datetime], datetime]
"""From a moment to the last moment at or before it at which the source was due."""
_INTERVAL = re.compile(r"^every (\d{1,4}) ?(s|m|h|d)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_schedule(text: str) -> Schedule:
    """Raises ValueError for anything but `every N(s|m|h|d)` and a cron line."""
    interval = _INTERVAL.match(text)
    if interval is not None:
        return _every(timedelta(seconds=int(interval[1]) * _SECONDS[interval[2]]))
    try:
        CronSim(text, _EPOCH)
    except CronSimError as error:
        raise ValueError(f"{text!r} is neither `every 6h` nor a cron line: {error}") from None
    return lambda now: _last_of_cron(text, now)


def _every(interval: timedelta) -> Schedule:
    """Multiples since the epoch, so that all scrapers agree on them without a word."""
    if not interval:
        raise ValueError("an interval is longer than nothing")
    return lambda now: _EPOCH + (now - _EPOCH) // interval * interval


def _last_of_cron(text: str, now: datetime) -> datetime:
    # CronSim excludes the moment it starts from: a minute's line is due at that minute's beginning
    backwards = CronSim(text, now.replace(second=0, microsecond=0) + timedelta(minutes=1), reverse=True)
    return next(backwards)

"""When a delivery that failed is tried again. Pure."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 3600.0
_DOUBLINGS = 20


def pause_seconds(attempts: int, *, first: float, retry_after: float | None) -> float:
    """After that many failed attempts: twice as long each time, up to an hour, between a half and the whole of it by
    chance, so that those who failed together do not come again together. A receiver may ask for more, up to an hour.
    """
    whole = min(LONGEST_SECONDS, first * 2.0 ** min(attempts - 1, _DOUBLINGS))
    pause = whole * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    return max(pause, min(retry_after or 0.0, LONGEST_SECONDS))


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Seconds from a `Retry-After` in either form; None for one that is absent or means nothing."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for "Fri, 01 May 2026 12:00:30 +99999999999999999999"
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())

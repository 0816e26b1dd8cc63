"""When to repeat a request that failed. Pure."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DOUBLINGS = 30


def backoff_seconds(attempt: int, *, first: float, longest: float) -> float:
    """Exponential backoff with jitter after the failed attempt number `attempt` (from 1).

    Between a half and the whole of `first * 2 ** (attempt - 1)`, capped at `longest`.
    """
    whole = min(longest, first * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    return whole * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Parses a `Retry-After` header, seconds or an HTTP date; None where it is absent or malformed."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for "Fri, 01 May 2026 12:00:30 +99999999999999999999"
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())

"""Computes the delay before a retry. Pure."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_MAX_DOUBLINGS = 30


def backoff_seconds(attempt: int, *, first: float, longest: float) -> float:
    """Returns the exponential backoff with jitter after the failed attempt number `attempt` (from 1).

    The backoff is `first * 2 ** (attempt - 1)`, at most `longest`. The result is between 50 % and 100 % of it.
    """
    backoff = min(longest, first * 2.0 ** min(attempt - 1, _MAX_DOUBLINGS))
    return backoff * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def retry_after_seconds(header: str | None, now: datetime) -> float | None:
    """Parses a `Retry-After` header, in seconds or as an HTTP date. Returns None if it is absent or malformed."""
    if header is None:
        return None
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        retry_at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # OverflowError for "Fri, 01 May 2026 12:00:30 +99999999999999999999"
        return None
    return max(0.0, (retry_at.replace(tzinfo=retry_at.tzinfo or UTC) - now).total_seconds())

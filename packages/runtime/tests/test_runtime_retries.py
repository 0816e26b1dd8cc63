"""Backoff and `Retry-After`."""

from datetime import UTC, datetime

import pytest
from bookwheel_runtime.retries import backoff_seconds, retry_after_seconds

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


def test_backoff_doubles_up_to_its_limit_with_jitter() -> None:
    for attempt, backoff in ((1, 5.0), (2, 10.0), (5, 80.0), (11, 3600.0), (10_000, 3600.0)):
        delays = [backoff_seconds(attempt, first=5.0, longest=3600.0) for _ in range(200)]
        assert backoff / 2 <= min(delays) < max(delays) <= backoff
        assert max(delays) - min(delays) > backoff / 4


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 120 ", 120.0),
        ("0", 0.0),
        ("Fri, 01 May 2026 12:00:30 GMT", 30.0),
        ("Fri, 01 May 2026 12:00:30 -0000", 30.0),
        ("Fri, 01 May 2026 11:00:00 GMT", 0.0),
        ("9" * 40, 999999999.0),
        *((text, None) for text in ("-5", "soon", "", "²", "Fri, 01 May 2026 12:00:30 +99999999999999999999")),
    ],
)
def test_retry_after_is_parsed_as_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds

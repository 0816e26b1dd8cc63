"""The rules by which pages are fetched, one at a time."""

from datetime import UTC, datetime

import pytest
from bookwheel_contracts import RunState
from bookwheel_scraper.crawl.outcomes import outcome_of
from bookwheel_scraper.middlewares.charsets import true_encoding
from bookwheel_scraper.middlewares.retries import backoff_seconds, retry_after_seconds

NOW = datetime(2026, 5, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (b"3", 3.0),
        (b" 120 ", 120.0),
        (b"0", 0.0),
        (b"Fri, 01 May 2026 12:00:30 GMT", 30.0),
        (b"Fri, 01 May 2026 11:00:00 GMT", 0.0),
        (b"99999999999999999999", 999999999.0),
        (b"-5", None),
        (b"soon", None),
        (b"\xb2", None),
        (b"", None),
        (None, None),
    ],
)
def test_a_shop_says_when_to_come_back_in_seconds_or_as_a_date(header: bytes | None, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


def test_waits_grow_to_a_bound() -> None:
    assert 0.25 <= backoff_seconds(1) <= 0.75
    assert 15 <= backoff_seconds(50) <= 45


@pytest.mark.parametrize(
    ("body", "declared", "encoding"),
    [
        (b"plain", "iso-8859-1", "iso-8859-1"),
        ("Café £".encode(), "iso-8859-1", "utf-8"),
        ("Café £".encode(), "utf-8", "utf-8"),
        ("Café £".encode("cp1252"), "utf-8", "cp1252"),
        ("Café £".encode("cp1252"), "cp1252", "cp1252"),
        ("本".encode("shift_jis"), "shift_jis", "shift_jis"),
        (b"", "utf-8", "utf-8"),
    ],
)
def test_the_charset_is_what_the_bytes_say(body: bytes, declared: str, encoding: str) -> None:
    assert true_encoding(body, declared) == encoding


def test_a_run_is_complete_only_without_a_stop_and_without_errors() -> None:
    def state(stop: str | None, published: int, errors: int) -> RunState:
        return outcome_of(stop_reason=stop, published=published, errors=errors, first_error="e").state

    assert state(None, 5, 0) is RunState.COMPLETE
    assert state(None, 0, 0) is RunState.COMPLETE
    assert state(None, 5, 1) is RunState.PARTIAL
    assert state(None, 0, 1) is RunState.FAILED
    assert state("stopped", 0, 0) is RunState.PARTIAL

"""The encoding of a page and the outcome of a run."""

import pytest
from bookwheel_contracts import RunState
from bookwheel_scraper.crawl.run_events import build_outcome
from bookwheel_scraper.middlewares.charsets import detect_encoding


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
def test_the_encoding_is_detected_from_the_bytes(body: bytes, declared: str, encoding: str) -> None:
    assert detect_encoding(body, declared) == encoding


def test_a_run_is_complete_only_without_a_stop_and_errors() -> None:
    def state(stop: str | None, published: int, errors: int) -> RunState:
        return build_outcome(stop_reason=stop, published=published, errors=errors, first_error="e").state

    assert state(None, 5, 0) is RunState.COMPLETE
    assert state(None, 0, 0) is RunState.COMPLETE
    assert state(None, 5, 1) is RunState.PARTIAL
    assert state(None, 0, 1) is RunState.FAILED
    assert state("stopped", 0, 0) is RunState.PARTIAL

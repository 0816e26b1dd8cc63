"""The result of the parsers."""

from bookwheel_extraction.values import Parsed
from bookwheel_extraction.values.parsed import refuse


def test_a_fault_quotes_a_long_text_shortened() -> None:
    parsed: Parsed[int] = refuse("not_a_count", "x" * 500)
    assert parsed.value is None
    assert parsed.fault is not None
    assert len(parsed.fault.text) == 80

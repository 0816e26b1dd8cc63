"""A well-formed trace id is kept, a malformed one is replaced."""

import pytest
from bookwheel_runtime.traces import child_of, current_trace_id, new_traceparent, trace_id_of, traced

PARENT = f"00-{'a' * 32}-{'b' * 16}-01"


def test_a_child_keeps_the_trace_and_has_its_own_span() -> None:
    child = child_of(PARENT)
    assert trace_id_of(child) == "a" * 32
    assert child != PARENT
    assert child.endswith("-01")


@pytest.mark.parametrize(
    "malformed", [None, "", "00", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'A' * 32}-{'b' * 16}-01", PARENT + "\r\nx: y"]
)
def test_a_malformed_parent_starts_a_new_trace(malformed: str | None) -> None:
    child = child_of(malformed)
    assert trace_id_of(child) not in {None, "a" * 32, "0" * 32}


def test_the_trace_is_current_only_inside_the_block() -> None:
    assert current_trace_id() is None
    with traced(PARENT):
        with traced(new_traceparent()):
            assert current_trace_id() != "a" * 32
        assert current_trace_id() == "a" * 32
    assert current_trace_id() is None

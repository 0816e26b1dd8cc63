"""W3C trace context. All services, streams and log lines of one client request have the same trace id."""

import random
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TRACEPARENT_HEADER = "traceparent"
_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_of(traceparent: str | None) -> str:
    """Returns a traceparent of the same trace with a new span id, or of a new trace if `traceparent` is malformed."""
    match = _TRACEPARENT.match(traceparent or "")
    if match is None:
        return new_traceparent()
    span = random.getrandbits(64) or 1
    return f"00-{match[1]}-{span:016x}-{match[3]}"


def trace_id_of(traceparent: str | None) -> str | None:
    match = _TRACEPARENT.match(traceparent or "")
    return match[1] if match else None


def current_traceparent() -> str:
    """Returns the current traceparent, or a new one outside of a trace."""
    return _current.get() or new_traceparent()


def current_trace_id() -> str | None:
    return trace_id_of(_current.get())


@contextmanager
def traced(traceparent: str | None) -> Iterator[str]:
    """Sets a child of `traceparent` as the current traceparent, for log lines and outgoing requests."""
    child = child_of(traceparent)
    token = _current.set(child)
    try:
        yield child
    finally:
        _current.reset(token)

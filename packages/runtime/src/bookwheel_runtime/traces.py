"""W3C trace context: one trace id from a client's request through streams and services to every log line."""

import random
import re
import secrets
from contextvars import ContextVar

TRACEPARENT_HEADER = "traceparent"
_TRACEPARENT = re.compile(r"^00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})$")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)


def new_traceparent() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def child_of(traceparent: str | None) -> str:
    """A traceparent of the same trace with a span id of its own; of a new trace where the given one is malformed."""
    match = _TRACEPARENT.match(traceparent or "")
    if match is None:
        return new_traceparent()
    span = random.getrandbits(64) or 1
    return f"00-{match[1]}-{span:016x}-{match[3]}"


def trace_id_of(traceparent: str | None) -> str | None:
    match = _TRACEPARENT.match(traceparent or "")
    return match[1] if match else None


def current_traceparent() -> str:
    """The traceparent to send on: the current one, or a new one outside any trace."""
    return _current.get() or new_traceparent()


def current_trace_id() -> str | None:
    return trace_id_of(_current.get())


class traced:  # noqa: N801 - used like a function; one of the standard library's takes twice as long to enter
    """Makes a child of `traceparent` the current one, for log lines and whatever is sent on."""

    __slots__ = ("_child", "_token")

    def __init__(self, traceparent: str | None) -> None:
        self._child = child_of(traceparent)

    def __enter__(self) -> str:
        self._token = _current.set(self._child)
        return self._child

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)

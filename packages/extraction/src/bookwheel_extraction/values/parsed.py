"""The result of every parser."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_QUOTED_LENGTH = 80


@dataclass(frozen=True, slots=True)
class ValueFault:
    """Why a text has no value. `code` is stable; `text` is the text as found, cut to 80 characters."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Parsed(Generic[T]):
    """A value, a fault, or neither for an absent value. Never both."""

    value: T | None = None
    fault: ValueFault | None = None


def refuse(code: str, text: object) -> Parsed[T]:
    """Return a fault with the text, shortened."""
    quoted = text if isinstance(text, str) else repr(text)
    if len(quoted) > MAX_QUOTED_LENGTH:
        quoted = f"{quoted[: MAX_QUOTED_LENGTH - 1]}…"
    return Parsed(fault=ValueFault(code, quoted))

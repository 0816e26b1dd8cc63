"""The result of every parser."""

from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
MAX_QUOTED_LENGTH = 80


class ValueFault(NamedTuple):
    """Why a text has no value. `code` is stable; `text` is the text as found, cut to 80 characters."""

    code: str
    text: str

    @staticmethod
    def cut(value: object) -> str:
        """Return the text of a value, cut for a fault."""
        text = value if isinstance(value, str) else repr(value)
        return text if len(text) <= MAX_QUOTED_LENGTH else f"{text[: MAX_QUOTED_LENGTH - 1]}…"


class Parsed(NamedTuple, Generic[T]):
    """A value, a fault, or neither for an absent value. Never both."""

    value: T | None = None
    fault: ValueFault | None = None


def refuse(code: str, text: object) -> Parsed[T]:
    """Return a fault with the text, shortened."""
    return Parsed(fault=ValueFault(code, ValueFault.cut(text)))

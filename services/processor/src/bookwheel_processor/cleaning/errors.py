"""Errors of values and items that cannot be cleaned."""

from bookwheel_contracts import FieldError


class InvalidValueError(ValueError):
    """The value of one field is invalid. `code` is a stable identifier; the message contains the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidItemError(Exception):
    """An item is invalid. `reasons` are all of its field errors."""

    def __init__(self, reasons: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(f"{reason.field}: {reason.message}" for reason in reasons))
        self.reasons = reasons


def quote_value(value: object) -> str:
    """Quote a value for a message. A long one is cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"

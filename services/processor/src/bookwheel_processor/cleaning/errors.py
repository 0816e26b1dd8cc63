"""Errors of items that cannot be cleaned."""

from bookwheel_contracts import FieldError


class InvalidItemError(Exception):
    """An item is invalid. `reasons` are all of its field errors."""

    def __init__(self, reasons: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(f"{reason.field}: {reason.message}" for reason in reasons))
        self.reasons = reasons


def quote_value(value: object) -> str:
    """Quote a value for a message. A long one is cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"

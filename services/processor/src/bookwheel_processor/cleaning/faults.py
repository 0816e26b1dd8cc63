"""Errors of cleaning."""

from bookwheel_contracts import FieldError


class InvalidValueError(ValueError):
    """The value of one field is invalid. `code` is stable, the message shows the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidItemError(Exception):
    """An item is invalid, for all of these reasons."""

    def __init__(self, reasons: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(f"{reason.field}: {reason.message}" for reason in reasons))
        self.reasons = reasons


def shown(value: object) -> str:
    """The value for a message: quoted, and cut to 80 characters."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"

"""What cleaning says of a value it cannot make sense of."""

from bookwheel_contracts import FieldError


class InvalidValueError(ValueError):
    """One field's value means nothing to us. `code` is stable, the message names the value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class InvalidItemError(Exception):
    """An item that goes to quarantine, with everything that is wrong with it."""

    def __init__(self, reasons: tuple[FieldError, ...]) -> None:
        super().__init__("; ".join(f"{reason.field}: {reason.message}" for reason in reasons))
        self.reasons = reasons


def shown(value: object) -> str:
    """The value as it may stand in a message: quoted, and never long."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"

"""Opaque cursors over a column of ascending or descending whole numbers."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

from bookwheel_contracts.problems import InvalidCursorError

_MOST_LENGTH = 100
_MOST_NUMBER = 2**63 - 1


def encode_cursor(kind: str, number: int) -> str:
    """`kind` names the list, so that a cursor of one list is refused by another."""
    return urlsafe_b64encode(f"{kind}:{number}".encode()).decode().rstrip("=")


def decode_cursor(kind: str, cursor: str) -> int:
    """Raises InvalidCursor."""
    try:
        if len(cursor) > _MOST_LENGTH:
            raise ValueError("too long")
        found, _, number = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        if found != kind or not number.isdecimal() or int(number) > _MOST_NUMBER:
            raise ValueError("of another list")
    except (ValueError, binascii.Error) as error:
        raise InvalidCursorError("The cursor was not made by this list.") from error
    return int(number)

"""Encodes and decodes opaque cursors over a column of whole numbers."""

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode

from bookwheel_contracts.problems import InvalidCursorError

_MAX_LENGTH = 100
_MAX_NUMBER = 2**63 - 1


def encode_cursor(list_name: str, number: int) -> str:
    """Returns an opaque cursor. It contains `list_name`, so that another list rejects it."""
    return urlsafe_b64encode(f"{list_name}:{number}".encode()).decode().rstrip("=")


def decode_cursor(list_name: str, cursor: str) -> int:
    """Returns the number of a cursor of this list. Raises InvalidCursorError."""
    try:
        if len(cursor) > _MAX_LENGTH:
            raise ValueError("too long")
        cursor_list_name, _, number = (
            urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(":")
        )
        if cursor_list_name != list_name or not number.isdecimal() or int(number) > _MAX_NUMBER:
            raise ValueError("wrong list or number")
    except (ValueError, binascii.Error) as error:
        raise InvalidCursorError("`cursor` is invalid: use `next` from a page of this list.") from error
    return int(number)

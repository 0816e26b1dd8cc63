"""Opaque cursors: a position in a list, bound to the request that they came from."""

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any

import orjson
from bookwheel_contracts.problems import InvalidCursorError
from bookwheel_stores.search.queries import TITLE_PARTS, Position, Selection, Sort

MAX_CURSOR_LENGTH = 500
_MALFORMED = "`cursor` is invalid: use `next` of the page before."


def encode_position(position: Position, selection: Selection, sort: Sort) -> str:
    return encode_cursor([_binding(selection, sort), position.number, position.rank, *position.value])


def decode_position(cursor: str | None, selection: Selection, sort: Sort) -> Position | None:
    """Raises InvalidCursorError for a malformed cursor and for one of a list with another text, filter or order."""
    if cursor is None:
        return None
    binding, number, rank, *value = decode_cursor(cursor, least=4, most=3 + TITLE_PARTS)
    if binding != _binding(selection, sort):
        raise InvalidCursorError("`cursor` is invalid: it belongs to a list with another text, filter or sort.")
    is_scored = sort is Sort.RELEVANCE and selection.text is not None
    has_fitting_value = len(value) == (TITLE_PARTS if sort is Sort.TITLE else 1) and all(
        _is_score(part) if is_scored else _is_unsigned(part) for part in value
    )
    if not has_fitting_value or not _is_unsigned(number) or not _is_unsigned(rank):
        raise InvalidCursorError(_MALFORMED)
    return Position(tuple(value), number, rank)


def encode_cursor(parts: list[Any]) -> str:
    return urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *, least: int, most: int) -> list[Any]:
    """Raises InvalidCursorError unless it holds a list of `least` to `most` parts."""
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise InvalidCursorError(_MALFORMED) from error
    if not isinstance(parts, list) or not least <= len(parts) <= most:
        raise InvalidCursorError(_MALFORMED)
    return parts


def _binding(selection: Selection, sort: Sort) -> str:
    return blake2b(orjson.dumps((selection, sort), default=str), digest_size=6).hexdigest()


def _is_unsigned(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < (1 << 64) - 1


def _is_score(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)

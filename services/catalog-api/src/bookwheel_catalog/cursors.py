"""Opaque cursors: a place in a list, bound to the request that they came from."""

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any

import orjson
from bookwheel_contracts.problems import InvalidCursorError
from bookwheel_stores.search.queries import TITLE_PARTS, Position, Selection, Sort

MAX_CURSOR_LENGTH = 500


def encode_position(position: Position, selection: Selection, sort: Sort) -> str:
    return encode([_binding(selection, sort), position.number, position.rank, *position.value])


def decode_position(cursor: str | None, selection: Selection, sort: Sort) -> Position | None:
    """Raises InvalidCursor for one that is malformed, or of a list with another text, filter or order."""
    if cursor is None:
        return None
    binding, number, rank, *value = decode(cursor, least=4, most=3 + TITLE_PARTS)
    if binding != _binding(selection, sort):
        raise InvalidCursorError("The cursor belongs to a list with another text, filter or sort.")
    is_scored = sort is Sort.RELEVANCE and selection.text is not None
    is_fitting = len(value) == (TITLE_PARTS if sort is Sort.TITLE else 1) and all(
        _is_score(each) if is_scored else _is_unsigned(each) for each in value
    )
    if not is_fitting or not _is_unsigned(number) or not _is_unsigned(rank):
        raise InvalidCursorError("The cursor is malformed.")
    return Position(tuple(value), number, rank)


def encode(parts: list[Any]) -> str:
    return urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def decode(cursor: str, *, least: int, most: int) -> list[Any]:
    """Raises InvalidCursor unless it holds a list of `least` to `most` parts."""
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise InvalidCursorError("The cursor is malformed.") from error
    if not isinstance(parts, list) or not least <= len(parts) <= most:
        raise InvalidCursorError("The cursor is malformed.")
    return parts


def _binding(selection: Selection, sort: Sort) -> str:
    return blake2b(orjson.dumps((selection, sort), default=str), digest_size=6).hexdigest()


def _is_unsigned(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < (1 << 64) - 1


def _is_score(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)

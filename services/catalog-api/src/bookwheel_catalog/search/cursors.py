"""Encodes and decodes opaque cursors: a position in a list, valid only for the same text, filters and sort order."""

import math
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b
from typing import Any

import orjson
from bookwheel_contracts.problems import InvalidCursorError
from bookwheel_stores.search.queries import TITLE_PARTS, Position, SearchCriteria, Sort

MAX_CURSOR_LENGTH = 500
_MALFORMED = "`cursor` is invalid: use `next` of the previous page."


def encode_position(position: Position, criteria: SearchCriteria, sort: Sort) -> str:
    return encode_cursor([_digest(criteria, sort), position.number, position.rank, *position.value])


def decode_position(cursor: str | None, criteria: SearchCriteria, sort: Sort) -> Position | None:
    """Returns the position. Raises InvalidCursorError if the cursor is malformed or belongs to another list."""
    if cursor is None:
        return None
    digest, number, rank, *value = decode_cursor(cursor, min_parts=4, max_parts=3 + TITLE_PARTS)
    if digest != _digest(criteria, sort):
        raise InvalidCursorError("`cursor` is invalid: it belongs to a list with another text, filter or sort order.")
    is_scored = sort is Sort.RELEVANCE and criteria.text is not None
    is_valid_value = len(value) == (TITLE_PARTS if sort is Sort.TITLE else 1) and all(
        _is_score(part) if is_scored else _is_unsigned(part) for part in value
    )
    if not is_valid_value or not _is_unsigned(number) or not _is_unsigned(rank):
        raise InvalidCursorError(_MALFORMED)
    return Position(tuple(value), number, rank)


def encode_cursor(parts: list[Any]) -> str:
    return urlsafe_b64encode(orjson.dumps(parts)).rstrip(b"=").decode()


def decode_cursor(cursor: str, *, min_parts: int, max_parts: int) -> list[Any]:
    """Returns the cursor's parts. Raises InvalidCursorError if there are not `min_parts` to `max_parts` parts."""
    try:
        parts = orjson.loads(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError as error:
        raise InvalidCursorError(_MALFORMED) from error
    if not isinstance(parts, list) or not min_parts <= len(parts) <= max_parts:
        raise InvalidCursorError(_MALFORMED)
    return parts


def _digest(criteria: SearchCriteria, sort: Sort) -> str:
    return blake2b(orjson.dumps((criteria, sort), default=str), digest_size=6).hexdigest()


def _is_unsigned(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < (1 << 64) - 1


def _is_score(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)

"""Parses the Range header (RFC 9110, section 14)."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class ByteRange(NamedTuple):
    """The bytes from `start` (inclusive) to `end` (exclusive)."""

    start: int
    end: int


class InvalidByteRangeError(Exception):
    """Raised for a range that starts after the end of the file."""


def parse_range(header: str | None, if_range: str | None, *, etag: str, size: int) -> ByteRange | None:
    """Returns the range to send, or None for the whole file.

    The whole file is sent if there is no Range header or if `If-Range` has another ETag. It is also sent for several
    ranges and for a malformed header, as the standard allows. Raises InvalidByteRangeError.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
        if match[2] and int(match[2]) < start:
            return None
    if start >= size or start >= end:
        raise InvalidByteRangeError
    return ByteRange(start, end)

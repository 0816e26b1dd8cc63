"""Which bytes of a file a request asks for (RFC 9110, section 14). Pure."""

import re
from typing import NamedTuple

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class ByteRange(NamedTuple):
    """From the byte `start`, up to but without the byte `end`."""

    start: int
    end: int


class InvalidByteRangeError(Exception):
    """The range begins behind the file's end."""


def wanted_range(header: str | None, if_range: str | None, *, etag: str, size: int) -> ByteRange | None:
    """The one range to send, or None for the whole file: where none is asked for, where `If-Range` tells of another
    content, and, as the standard allows, where several are asked for or the header is malformed. Raises NotSatisfiable.
    """
    if header is None or (if_range is not None and if_range.strip() != etag):
        return None
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1 if found[2] else size)
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise InvalidByteRangeError
    return ByteRange(start, end)

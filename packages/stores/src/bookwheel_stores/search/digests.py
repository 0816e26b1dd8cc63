"""Digests by which an index is compared with the records, range by range, without reading either book by book."""

from typing import NamedTuple
from zlib import crc32

RANGE = 1_000
"""Book numbers from `n * RANGE` on make the range `n`: few enough that a sum of digests is exact in a float."""


class RangeSum(NamedTuple):
    """How many books there are with a number in the range, and the sum of their digests."""

    books: int
    digests: int


def digest(book_id: str, revision: int) -> int:
    """32 bits that tell one book's revision from another."""
    return crc32(b"%d %b" % (revision, book_id.encode()))

"""Parses formats. Stub: the signatures are final."""

from enum import StrEnum

from bookwheel_extraction.values.parsed import Parsed


class BookFormat(StrEnum):
    HARDCOVER = "hardcover"
    PAPERBACK = "paperback"
    EBOOK = "ebook"
    AUDIOBOOK = "audiobook"
    OTHER = "other"


def parse_format(value: object) -> Parsed[BookFormat]:
    """Parse schema.org's `bookFormat` or a text: `https://schema.org/EBook`, `Taschenbuch`, `Hardcover, 320 pages`."""
    raise NotImplementedError

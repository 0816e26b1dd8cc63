"""Cleans text. Stub: the signatures are final."""

from bookwheel_extraction.values.parsed import Parsed


def parse_text(value: object) -> Parsed[str]:
    """Return one line with entities resolved and white space collapsed."""
    raise NotImplementedError


def parse_prose(value: object) -> Parsed[str]:
    """Clean a text as `parse_text` does, and remove its markup, escaped or not."""
    raise NotImplementedError

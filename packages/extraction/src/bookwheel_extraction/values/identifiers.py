"""Finds ISBNs. Stub: the signatures are final."""

from bookwheel_extraction.values.parsed import Parsed


def parse_isbn(value: object) -> Parsed[str]:
    """Return the thirteen digits of the first valid ISBN of a text, a number or a GTIN."""
    raise NotImplementedError


def find_isbns(value: object) -> tuple[str, ...]:
    """Return the distinct valid ISBNs of a text in their order, as thirteen digits."""
    raise NotImplementedError

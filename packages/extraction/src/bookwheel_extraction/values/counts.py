"""Parses whole numbers. Stub: the signatures are final."""

from bookwheel_extraction.values.parsed import Parsed


def parse_count(value: object) -> Parsed[int]:
    """Parse `1204`, `1.204 Bewertungen` or `1 204`."""
    raise NotImplementedError


def parse_page_count(value: object) -> Parsed[int]:
    """Parse the number of pages: `320`, `320 p.`, `320 Seiten`, `xii, 320 pages`."""
    raise NotImplementedError

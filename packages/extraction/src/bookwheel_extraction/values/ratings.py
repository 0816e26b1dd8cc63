"""Parses ratings. Stub: the signatures are final."""

from bookwheel_extraction.values.parsed import Parsed


def parse_rating(value: object, best: object = None, worst: object = None, count: object = None) -> Parsed[float]:
    """Parse a rating to 0 to 5. `best` and `worst` are the stated scale; a `count` of zero votes means no rating."""
    raise NotImplementedError

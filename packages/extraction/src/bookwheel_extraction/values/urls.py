"""Normalizes URLs. Stub: the signatures are final."""

from bookwheel_extraction.values.parsed import Parsed


def normalize_url(value: object, base: str | None = None) -> Parsed[str]:
    """Return the absolute URL without fragment, tracking and session parameters. One page has one such URL."""
    raise NotImplementedError

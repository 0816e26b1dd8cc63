"""Parses languages. Stub: the signatures are final."""

from dataclasses import dataclass

from bookwheel_extraction.values.parsed import Parsed


@dataclass(frozen=True, slots=True)
class Language:
    """`code` is the primary subtag, such as `en`; `tag` is the full BCP 47 tag, such as `en-US`."""

    code: str
    tag: str


def parse_language(value: object) -> Parsed[Language]:
    """Parse `eng`, `en_US`, `English`, `Deutsch` or `Language: English`."""
    raise NotImplementedError

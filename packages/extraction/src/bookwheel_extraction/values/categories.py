"""Parses categories. Stub: the signatures are final."""

from bookwheel_extraction.values.parsed import Parsed


def parse_categories(value: object, *, title: str | None = None) -> Parsed[tuple[str, ...]]:
    """Return the path from general to special, without Home and the book's title.

    `value` is a text such as `Home > Fiction > Crime`, a BISAC heading, or a list of texts.
    """
    raise NotImplementedError

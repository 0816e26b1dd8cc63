"""Parses dates. Stub: the signatures are final."""

from dataclasses import dataclass

from bookwheel_extraction.values.parsed import Parsed


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date as precise as stated. `year` is astronomical: 1 BC is 0, 750 BC is -749."""

    year: int
    month: int | None = None
    day: int | None = None


def parse_date(value: object) -> Parsed[PartialDate]:
    """Parse `2004`, `2004-05`, `5 May 2004`, `Mai 2004`, `750 BC`. A date with two readings such as `01/02/2004` is
    refused.
    """
    raise NotImplementedError

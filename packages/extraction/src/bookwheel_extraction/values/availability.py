"""Parses availability. Stub: the signatures are final."""

from dataclasses import dataclass
from enum import StrEnum

from bookwheel_extraction.values.parsed import Parsed


class AvailabilityState(StrEnum):
    IN_STOCK = "in_stock"
    OUT_OF_STOCK = "out_of_stock"
    PRE_ORDER = "pre_order"
    BACK_ORDER = "back_order"
    DISCONTINUED = "discontinued"


@dataclass(frozen=True, slots=True)
class Availability:
    """`stock` is the stated number of copies. `state` is None if the text states only the number."""

    state: AvailabilityState | None
    stock: int | None = None


def parse_availability(value: object) -> Parsed[Availability]:
    """Parse schema.org's values or a text: `InStock`, `In stock (19 available)`, `Nicht vorrätig`.

    An unknown text has no value and no fault: unknown is not out of stock.
    """
    raise NotImplementedError

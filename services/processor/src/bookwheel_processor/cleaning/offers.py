"""A cleaned and validated offer: the content of one page."""

from bookwheel_contracts import BookDetails, FieldFault, Money
from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract
from bookwheel_extraction.values.availability import AvailabilityState
from pydantic import Field


class CleanOffer(Contract):
    """`source` and `source_key` identify the offer, `book_id` its book.

    `availability` is None if the page does not state it. `faults` are the fields that could not be read.
    """

    source: str = Field(min_length=1, max_length=100, pattern=r"^[^\s:]+$")
    source_key: str = Field(min_length=1, max_length=MAX_KEY_LENGTH)
    book_id: str = Field(min_length=1, max_length=MAX_KEY_LENGTH)
    url: str
    price: Money | None
    stock: int | None = Field(ge=0)
    in_stock: bool
    details: BookDetails
    availability: AvailabilityState | None = None
    faults: tuple[FieldFault, ...] = ()

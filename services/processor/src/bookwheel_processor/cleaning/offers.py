"""A cleaned and validated offer: the content of one page."""

from typing import Annotated

from bookwheel_contracts import Money
from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract
from pydantic import Field, StringConstraints

Line = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
MAX_DESCRIPTION_LENGTH = 100_000


class BookFacts(Contract):
    """The content of a page that describes the book. `rating` is 0 to 5."""

    title: Line
    authors: tuple[Line, ...] = Field(max_length=100)
    isbn13: str | None
    category: Line | None
    description: Annotated[str, StringConstraints(max_length=MAX_DESCRIPTION_LENGTH)] | None
    language: Annotated[str, StringConstraints(max_length=100)] | None
    rating: float | None = Field(ge=0, le=5)
    rating_count: int | None = Field(ge=0)
    image_url: str | None


class CleanOffer(Contract):
    """`source` and `source_key` identify the offer, `book_id` its book."""

    source: str = Field(min_length=1, max_length=100, pattern=r"^[^\s:]+$")
    source_key: str = Field(min_length=1, max_length=MAX_KEY_LENGTH)
    book_id: str = Field(min_length=1, max_length=MAX_KEY_LENGTH)
    url: str
    price: Money | None
    stock: int | None = Field(ge=0)
    in_stock: bool
    facts: BookFacts

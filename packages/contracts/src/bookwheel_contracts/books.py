"""The catalog as the API, the index and the feed see it."""

from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract, Timestamp


class Money(Contract):
    """An amount with its currency: a decimal string such as `"51.77"`, and three letters, as of ISO 4217."""

    amount: Decimal = Field(ge=0, max_digits=14, decimal_places=4)
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class OfferContent(Contract):
    """What one page of one source says of a book, as lists and the change feed show it."""

    source: str
    url: str
    price: Money | None
    stock: int | None = Field(ge=0)
    in_stock: bool
    first_seen: Timestamp


class Offer(OfferContent):
    """`source` and `source_key` identify it."""

    source_key: str = Field(max_length=MAX_KEY_LENGTH)
    last_seen: Timestamp


class BookContent(Contract):
    """A book as it is at one revision: what the change feed carries, the index lists and the lake keeps.

    `id` is `isbn:<isbn13>` where a valid ISBN is known, else `<source>:<source_key>` of its first offer. `rating` is
    0 to 5, `stock` in copies over all offers. `last_seen` is not part of it: that moves while nothing changes.
    """

    id: str = Field(max_length=MAX_KEY_LENGTH)
    title: str
    authors: tuple[str, ...] = ()
    isbn13: str | None = None
    category: str | None = None
    description: str | None = None
    language: str | None = None
    price: Money | None = None
    rating: float | None = Field(default=None, ge=0, le=5)
    rating_count: int | None = Field(default=None, ge=0)
    stock: int | None = Field(default=None, ge=0)
    in_stock: bool = False
    image_url: str | None = None
    offers: tuple[OfferContent, ...] = ()
    first_seen: Timestamp
    last_changed: Timestamp
    revision: int = Field(ge=1)


class Book(BookContent):
    """A book as it is now. `number` is its unique integer in the records: it breaks ties in every sort order and is not
    part of the public API.
    """

    number: int
    offers: tuple[Offer, ...] = ()
    last_seen: Timestamp


class BookState(NamedTuple):
    """A book at one revision on its way into the index or the lake. `content` is the JSON of a `BookContent`, in UTF-8;
    of a removed book, as it last was.
    """

    number: int
    book_id: str
    revision: int
    removed: bool
    content: bytes


class Observation(Contract):
    """A price and stock as seen at a moment: written only when one of them changed."""

    source: str
    source_key: str
    observed_at: Timestamp
    price: Money | None
    stock: int | None
    in_stock: bool


class ChangeKind(StrEnum):
    ADDED = "added"
    MODIFIED = "modified"
    REMOVED = "removed"
    RESTORED = "restored"


class Change(Contract):
    """One entry of the change feed, in the order of `sequence`."""

    sequence: int
    book_id: str
    revision: int
    kind: ChangeKind
    fields: tuple[str, ...]
    changed_at: Timestamp
    run_id: str | None


class CarriedChange(Change):
    """A change with what it carries: `book` as of its revision, of a removed one as it last was.

    null in changes that were written before the feed carried anything.
    """

    book: BookContent | None

"""Books, offers, observations and changes."""

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType, UnionType
from typing import Annotated, Any, NamedTuple, Union, cast, get_args, get_origin

from pydantic import Field, StringConstraints

from bookwheel_contracts.model import MAX_KEY_LENGTH, Contract, Timestamp

ShortText = Annotated[str, StringConstraints(max_length=1000)]


class Money(Contract):
    """An amount, as a decimal string such as `"51.77"`, and its currency, as an ISO 4217 code."""

    amount: Decimal = Field(ge=0, max_digits=14, decimal_places=4)
    currency: str = Field(pattern=r"^[A-Z]{3}$")


class OfferContent(Contract):
    """An offer in lists of books and in the change feed: one page of one source."""

    source: str
    url: str
    price: Money | None
    stock: int | None = Field(ge=0)
    in_stock: bool
    first_seen: Timestamp


class Offer(OfferContent):
    """An offer with its identity: `source` and `source_key`."""

    source_key: str = Field(max_length=MAX_KEY_LENGTH)
    last_seen: Timestamp


class BookDetails(Contract):
    """The details of a book that its pages state, without price and stock.

    The only definition of these fields. Tables, the content in the change feed, merging, export columns and API models
    are derived from it (docs/how-to/add-a-book-field.md).
    """

    title: ShortText = Field(description="The title, from the offer with the most complete page.")
    subtitle: ShortText | None = Field(default=None, description="The subtitle.")
    authors: tuple[ShortText, ...] = Field(default=(), max_length=100, description="The authors in their order.")
    isbn13: str | None = Field(default=None, description="The ISBN, 13 digits.")
    category: ShortText | None = Field(default=None, description="The category, in the words of the shop.")
    description: str | None = Field(
        default=None, max_length=100_000, description="The description: plain text with line breaks."
    )
    language: str | None = Field(default=None, max_length=100, description="The language, in the words of the shop.")
    rating: float | None = Field(
        default=None, ge=0, le=5, description="The rating, 0 to 5, of the offer with the most ratings."
    )
    rating_count: int | None = Field(default=None, ge=0, description="The number of ratings.")
    image_url: str | None = Field(default=None, description="The URL of the cover.")


def _base_type(annotation: Any) -> type:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _base_type(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _base_type(next(part for part in get_args(annotation) if part is not type(None)))
    return cast(type, origin or annotation)


BOOK_DETAILS: Mapping[str, type] = MappingProxyType(
    {name: _base_type(field.annotation) for name, field in BookDetails.model_fields.items()}
)
"""The type of each field of `BookDetails`: str, int, float, or tuple for a list of strings."""
LATER_DETAILS = ("subtitle",)
"""Optional fields added after the first release. JSON stored by earlier releases lacks them.

The stored content of an offer omits them when they are null. Otherwise a new field would change the fingerprint of
every offer, and the next run of each source would be held.
"""


class _BookIdentity(Contract):
    id: str = Field(max_length=MAX_KEY_LENGTH)


class BookContent(BookDetails, _BookIdentity):
    """A book at one revision, as the change feed, the search index and the lake store it.

    `id` is `isbn:<isbn13>` if the ISBN is valid, else `<source>:<source_key>` of the first offer. `stock` is the number
    of copies over all offers. The content has no `last_seen`, because that time advances without a change.
    """

    price: Money | None = None
    stock: int | None = Field(default=None, ge=0)
    in_stock: bool = False
    offers: tuple[OfferContent, ...] = ()
    first_seen: Timestamp
    last_changed: Timestamp
    revision: int = Field(ge=1)


class Book(BookContent):
    """The current state of a book.

    `number` is the primary key of its row. It breaks ties in every sort order and is not part of the public API.
    """

    number: int
    offers: tuple[Offer, ...] = ()
    last_seen: Timestamp


class BookState(NamedTuple):
    """A book at one revision for the index or the lake.

    `content` is the JSON of a `BookContent` in UTF-8. For a removed book it is the last content.
    """

    number: int
    book_id: str
    revision: int
    removed: bool
    content: bytes


class Observation(Contract):
    """The price and stock of an offer at one time, stored only when one of them changed."""

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
    """One entry of the change feed. The feed is ordered by `sequence`."""

    sequence: int
    book_id: str
    revision: int
    kind: ChangeKind
    fields: tuple[str, ...]
    changed_at: Timestamp
    run_id: str | None


class ChangeWithBook(Change):
    """A change with the content of its book at that revision. For a removed book it is the last content.

    `book` is null in changes that earlier releases wrote.
    """

    book: BookContent | None

"""What a page says: its outcome, its books with the origin of each field, and the links to follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from bookwheel_contracts import Money

MAX_FAULT_TEXT = 200


class Outcome(StrEnum):
    """`unreadable`: the page has book data that could not be read. `other`: the page has no book data."""

    BOOK = "book"
    LIST = "list"
    OTHER = "other"
    UNREADABLE = "unreadable"


class Syntax(StrEnum):
    """Where a value was found, in the order of precedence."""

    JSON_LD = "json-ld"
    MICRODATA = "microdata"
    RDFA = "rdfa"
    OPEN_GRAPH = "opengraph"
    CITATION = "citation"
    HTML = "html"


class PageKind(StrEnum):
    """What the crawl expects of a page. The page itself decides if it is `unknown`."""

    UNKNOWN = "unknown"
    BOOK = "book"
    LIST = "list"


@dataclass(frozen=True, slots=True)
class PageHints:
    """What the crawl knows about a page besides its content.

    `today` decides whether an offer is valid; without it, validity dates are not checked. `currency` and `country` are
    the source's declaration: an ISO 4217 code, and an ISO 3166 code that names the currency of an ambiguous sign.
    `other_urls` are the URLs that redirected to the page.
    """

    content_type: str | None = None
    link_headers: tuple[str, ...] = ()
    today: date | None = None
    currency: str | None = None
    country: str | None = None
    kind: PageKind = PageKind.UNKNOWN
    other_urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origin:
    """`path` names the entity and property, such as `Book.offers[1].price`."""

    syntax: Syntax
    path: str


@dataclass(frozen=True, slots=True)
class FieldFault:
    """A field that could not be read, or a block of structured data (`field` is then `page`).

    `code` is stable. `text` is the text as found, cut to `MAX_FAULT_TEXT` characters.
    """

    field: str
    code: str
    text: str
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    position: str | None = None


@dataclass(frozen=True, slots=True)
class FieldValue:
    """One field of a book: its cleaned value, the texts as found, and where they were found."""

    value: Any
    raw: tuple[str, ...]
    origin: Origin


@dataclass(frozen=True, slots=True)
class ExtractedOffer:
    """One offer of the page. `is_chosen`: the price and list price of the book are those of this offer.

    `availability` is a value of `AvailabilityState` or `unknown`. `condition` is `new`, `used` or None. `is_own`: the
    seller is the shop itself. `format` is the format that the offer states. `refusal` is the code of the reason why the
    offer is not the price of the book: `expired`, `not_yet_valid`, `member_price`, `bulk_price`, `not_for_sale`,
    `subscription_price`, `other_price_type`, `other_format`, `several_formats` or `unreadable_price`.
    """

    price: Money | None = None
    list_price: Money | None = None
    availability: str = "unknown"
    condition: str | None = None
    seller: str | None = None
    is_own: bool = True
    url: str | None = None
    format: str | None = None
    stock: int | None = None
    raw: Mapping[str, str] = field(default_factory=dict)
    is_chosen: bool = False
    refusal: str | None = None
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class ExtractedBook:
    """A book or one edition of it.

    `key` identifies the offer in its source; None if the page URL does. `edition` is the ISBN, else the format, of an
    edition that shares its page with others. `url` is the canonical URL. `fields` has these names, without
    those that the page does not state: key, title, subtitle, contributors, publisher, published, pages, format, series,
    categories, description, language, isbn, price, list_price, availability, stock, rating, rating_count, image_url.
    """

    url: str
    fields: Mapping[str, FieldValue]
    key: str | None = None
    edition: str | None = None
    offers: tuple[ExtractedOffer, ...] = ()
    faults: tuple[FieldFault, ...] = ()

    def value(self, name: str) -> Any:
        """Return the cleaned value of a field; None if the page does not state it."""
        field_value = self.fields.get(name)
        return None if field_value is None else field_value.value


@dataclass(frozen=True, slots=True)
class PageResult:
    """The content of one page.

    `reason` explains the outcome and `position` says where the unreadable data is, such as `json-ld block 2, line 7`.
    `book_links` are the pages of listed books, `next_pages` the pages after this one, and `plain_links` the links of a
    page without structured data. All are absolute URLs. `choice` is the rule that chose the page's book. `entities` are
    the types and names of the described things.
    """

    outcome: Outcome
    url: str
    reason: str | None = None
    position: str | None = None
    books: tuple[ExtractedBook, ...] = ()
    book_links: tuple[str, ...] = ()
    next_pages: tuple[str, ...] = ()
    plain_links: tuple[str, ...] = ()
    faults: tuple[FieldFault, ...] = ()
    syntaxes: tuple[Syntax, ...] = ()
    entities: tuple[str, ...] = ()
    choice: str | None = None
    encoding: str = "utf-8"

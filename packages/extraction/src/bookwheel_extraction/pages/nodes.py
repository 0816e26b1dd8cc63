"""The described things of a page: nodes with properties, the same for all syntaxes."""

import re
from collections.abc import Iterator
from urllib.parse import urljoin

from bookwheel_extraction.pages.models import Syntax

MAX_NODES = 10_000
MAX_DEPTH = 30
"""Limits per page. Data that exceeds them is ignored, and the page has a fault."""
_SCHEMA_ORG = re.compile(r"(?:https?:)?//(?:www\.)?(?:schema\.org|data-vocabulary\.org)/|schema:", re.IGNORECASE)
_TYPE_NAMES = {
    name.lower(): name
    for name in [
        "AggregateOffer",
        "AggregateRating",
        "Audiobook",
        "Book",
        "BookSeries",
        "BookStore",
        "BreadcrumbList",
        "Breadcrumb",
        "CollectionPage",
        "CompoundPriceSpecification",
        "CreativeWorkSeries",
        "DeliveryChargeSpecification",
        "ImageObject",
        "IndividualProduct",
        "ItemList",
        "ListItem",
        "Offer",
        "OfferCatalog",
        "OnlineStore",
        "Organization",
        "PaymentChargeSpecification",
        "Person",
        "PriceSpecification",
        "Product",
        "ProductGroup",
        "ProductModel",
        "PropertyValue",
        "Rating",
        "Review",
        "Role",
        "SearchResultsPage",
        "SomeProducts",
        "UnitPriceSpecification",
        "WebPage",
        "WebSite",
        "ItemPage",
    ]
}
"""Types with their spelling, because pages also write `book` and `PRODUCT`."""


class ElementText(str):
    """The text of an element as readers see it. Machine-readable values are plain `str`."""

    __slots__ = ()


class LinkText(str):
    """The URL of a link or an image, with the text of its element."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, url: str, text: str) -> "LinkText":
        self = super().__new__(cls, url)
        self.text = text
        return self


class Node:
    """A described thing. `types` and property names have no prefix. `id` is absolute, or local such as `_:b0`.

    `members` are property names and values in the order of the page. `is_aside`: the element is in a part of the page
    for other things than its topic, such as related products.
    """

    __slots__ = ("id", "is_aside", "isbns", "members", "properties", "syntax", "types")

    def __init__(
        self,
        syntax: Syntax,
        types: tuple[str, ...] = (),
        node_id: str | None = None,
        *,
        is_aside: bool = False,
    ) -> None:
        self.syntax = syntax
        self.types = types
        self.id = node_id
        self.is_aside = is_aside
        self.isbns: frozenset[str] | None = None
        """Set once by `identifiers.node_isbns`."""
        self.members: list[tuple[str, Value]] = []
        self.properties: dict[str, list[Value]] = {}

    def add(self, name: str, value: "Value") -> None:
        self.members.append((name, value))
        values = self.properties.get(name)
        if values is None:
            self.properties[name] = [value]
        else:
            values.append(value)

    def replace_values(self, members: "list[tuple[str, Value]]") -> None:
        self.members = []
        self.properties = {}
        for name, value in members:
            self.add(name, value)

    @property
    def is_reference(self) -> bool:
        return self.id is not None and not self.types and not self.members

    @property
    def type_name(self) -> str:
        return self.types[0] if self.types else "Thing"

    def has_type(self, names: frozenset[str]) -> bool:
        return not names.isdisjoint(self.types)

    def values(self, *names: str) -> "list[Value]":
        """Return the values of the first named property that has any."""
        for name in names:
            if values := self.properties.get(name):
                return values
        return []

    def nodes(self, *names: str) -> "list[Node]":
        """Return the values of all named properties that are nodes."""
        return [value for name in names for value in self.properties.get(name, ()) if isinstance(value, Node)]

    def texts(self, *names: str) -> Iterator[str]:
        """Yield the texts of the named properties. A node has the text of its `name` or `value`."""
        for name in names:
            for value in self.properties.get(name, ()):
                text = text_of(value)
                if text is not None:
                    yield text

    def text(self, *names: str) -> str | None:
        return next(self.texts(*names), None)

    def urls(self, *names: str) -> Iterator[str]:
        for name in names:
            for value in self.properties.get(name, ()):
                url = url_of(value)
                if url:
                    yield url

    def url(self, *names: str) -> str | None:
        return next(self.urls(*names), None)


Value = Node | str


def text_of(value: Value, depth: int = 0) -> str | None:
    """Return the text of a value for readers; None if it has none."""
    if isinstance(value, LinkText):
        return value.text if value.text.strip() else str(value)
    if isinstance(value, str):
        return value
    if depth > 3:
        return None
    for name in ("name", "value", "termCode", "headline"):
        for inner in value.properties.get(name, ()):
            text = text_of(inner, depth + 1)
            if text is not None and text.strip():
                return text
    return None


def url_of(value: Value) -> str | None:
    if isinstance(value, str):
        return value.strip() or None
    for name in ("url", "contentUrl", "@id"):
        for inner in value.properties.get(name, ()):
            if isinstance(inner, str) and inner.strip():
                return inner.strip()
    return value.id if value.id and not value.id.startswith("_:") else None


def short_name(name: str) -> str:
    """Return a property name without schema.org's prefix."""
    return _SCHEMA_ORG.sub("", name, count=1).strip("/# ") if ":" in name or "/" in name else name


def short_type(name: str) -> str:
    """Return a type without schema.org's prefix, in schema.org's spelling."""
    name = short_name(name.strip())
    return _TYPE_NAMES.get(name.lower(), name)


def absolute_id(node_id: str, base_url: str) -> str:
    """Return an identifier of a node that is equal for all its spellings on one page."""
    node_id = node_id.strip()
    if not node_id or node_id.startswith(("_:", "urn:")):
        return node_id
    try:
        return urljoin(base_url, node_id)
    except ValueError:
        return node_id


class NodeBudget:
    """Counts the nodes of a page. Once the limit is exceeded, no further nodes are created."""

    def __init__(self, limit: int = MAX_NODES) -> None:
        self._left = limit
        self.is_exceeded = False

    def take(self, count: int = 1) -> bool:
        self._left -= count
        if self._left < 0:
            self.is_exceeded = True
            return False
        return True


def walk(roots: list[Node]) -> list[Node]:
    """Return the roots and all nodes below them in the order of the page, without duplicates. Cycles are allowed."""
    seen: dict[int, Node] = {}
    pending = list(reversed(roots))
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        pending.extend(value for _, value in reversed(node.members) if isinstance(value, Node))
    return list(seen.values())

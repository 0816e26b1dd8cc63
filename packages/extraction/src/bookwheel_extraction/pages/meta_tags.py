"""Reads Open Graph, Dublin Core and citation `meta` tags as a description of the page's book: the last resort."""

import re
from collections.abc import Mapping
from types import MappingProxyType

from lxml import etree

from bookwheel_extraction.pages.models import Syntax
from bookwheel_extraction.pages.nodes import Node

MAX_TAGS = 500
_TAGS = etree.XPath("//meta[@content and (@property or @name)]")
_OPEN_GRAPH = MappingProxyType(
    {
        "og:title": "name",
        "og:description": "description",
        "og:image": "image",
        "og:image:url": "image",
        "og:image:secure_url": "image",
        "og:url": "url",
        "og:isbn": "isbn",
        "book:isbn": "isbn",
        "books:isbn": "isbn",
        "product:isbn": "isbn",
        "product:ean": "gtin13",
        "product:gtin": "gtin",
        "book:author": "author",
        "books:author": "author",
        "book:release_date": "datePublished",
        "books:release_date": "datePublished",
        "books:initial_release_date": "datePublished",
        "books:page_count": "numberOfPages",
        "books:language:locale": "inLanguage",
        "product:retailer_item_id": "sku",
        "product:category": "category",
    }
)
_OFFER = MappingProxyType(
    {
        "product:price:amount": "price",
        "og:price:amount": "price",
        "product:price:currency": "priceCurrency",
        "og:price:currency": "priceCurrency",
        "product:sale_price:amount": "salePrice",
        "product:sale_price:currency": "priceCurrency",
        "product:original_price:amount": "crossedOutPrice",
        "og:price:standard_amount": "crossedOutPrice",
        "product:availability": "availability",
        "og:availability": "availability",
        "product:condition": "itemCondition",
    }
)
_CITATION = MappingProxyType(
    {
        "citation_title": "name",
        "citation_book_title": "name",
        "citation_author": "author",
        "citation_authors": "author",
        "citation_editor": "editor",
        "citation_translator": "translator",
        "citation_isbn": "isbn",
        "citation_publisher": "publisher",
        "citation_publication_date": "datePublished",
        "citation_date": "datePublished",
        "citation_year": "datePublished",
        "citation_language": "inLanguage",
        "dc.title": "name",
        "dc.creator": "author",
        "dc.publisher": "publisher",
        "dc.date": "datePublished",
        "dc.date.issued": "datePublished",
        "dc.language": "inLanguage",
        "dc.identifier": "identifier",
        "dc.identifier.isbn": "isbn",
        "dc.description": "description",
        "dc.subject": "about",
        "dc.format": "bookFormat",
        "dc.type": "additionalType",
    }
)
_BOOK_TYPES = frozenset({"book", "books.book", "book.book"})
_ARTICLE_TAGS = frozenset(
    {
        "citation_journal_title",
        "citation_inbook_title",
        "citation_conference_title",
        "citation_dissertation_institution",
    }
)
_BOOK_TYPE_TEXT = re.compile(r"(?i)\bbook\b")
_SCHEME_PREFIX = re.compile(r"dc(?:terms)?[.:]")


class MetaTags:
    """The nodes of the page's `meta` tags. `site_name` is the name of the shop."""

    __slots__ = ("citation", "open_graph", "site_name", "title")

    def __init__(self) -> None:
        self.open_graph: Node | None = None
        self.citation: Node | None = None
        self.site_name: str | None = None
        self.title: str | None = None


def read_meta_tags(root: etree._Element) -> MetaTags:
    tags = MetaTags()
    contents: dict[str, list[str]] = {}
    for element in _TAGS(root)[:MAX_TAGS]:
        content = (element.get("content") or "").strip()
        names = f"{element.get('property') or ''} {element.get('name') or ''}".lower().split()
        for name in names if content else ():
            contents.setdefault(_SCHEME_PREFIX.sub("dc.", name), []).append(content)
    tags.site_name = next(iter(contents.get("og:site_name", ())), None)
    tags.open_graph = _read_open_graph(contents)
    tags.title = next(iter(contents.get("og:title", ())), None)
    tags.citation = _read_citation(contents)
    return tags


def _read_open_graph(contents: Mapping[str, list[str]]) -> Node | None:
    node, offer = Node(Syntax.OPEN_GRAPH), Node(Syntax.OPEN_GRAPH, ("Offer",))
    _add_contents(node, contents, _OPEN_GRAPH)
    _add_contents(offer, contents, _OFFER)
    if offer.members:
        node.add("offers", offer)
    page_type = contents.get("og:type", [""])[0].lower()
    if page_type in _BOOK_TYPES or "isbn" in node.properties:
        node.types = ("Book",)
    elif page_type.startswith("product") or offer.members:
        node.types = ("Product",)
    return node if node.types else None


def _read_citation(contents: Mapping[str, list[str]]) -> Node | None:
    node = Node(Syntax.CITATION)
    _add_contents(node, contents, _CITATION)
    is_book = "isbn" in node.properties or any(map(_BOOK_TYPE_TEXT.search, node.texts("additionalType")))
    node.types = ("Book",) if is_book else ("CreativeWork",)
    is_article = not _ARTICLE_TAGS.isdisjoint(contents)
    return node if not is_article and (is_book or "identifier" in node.properties) else None


def _add_contents(node: Node, contents: Mapping[str, list[str]], names: Mapping[str, str]) -> None:
    for key, values in contents.items():
        if (name := names.get(key)) is not None:
            for value in values:
                node.add(name, value)

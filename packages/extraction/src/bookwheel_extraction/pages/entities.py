"""Groups the nodes of a page by the book that they describe."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from bookwheel_extraction.pages.document import Document, join_url, url_key
from bookwheel_extraction.pages.identifiers import node_isbns, node_keys
from bookwheel_extraction.pages.models import Syntax
from bookwheel_extraction.pages.nodes import Node, text_of, url_of
from bookwheel_extraction.values.formats import parse_format
from bookwheel_extraction.values.text import parse_text

BOOK_TYPES = frozenset({"Book", "Audiobook"})
PRODUCT_TYPES = frozenset({"Product", "IndividualProduct", "ProductModel", "ProductGroup", "SomeProducts"})
LIST_TYPES = frozenset({"ItemList", "OfferCatalog", "CollectionPage", "SearchResultsPage"})
EDITION_PROPERTIES = ("workExample", "hasVariant")
WORK_PROPERTIES = ("exampleOfWork", "isVariantOf")
_PAGE_TYPES = frozenset({"WebPage", "ItemPage", "AboutPage", "CollectionPage", "SearchResultsPage", "WebSite"})
_TOPIC_PROPERTIES = ("mainEntity", "mainEntityOfPage", "itemOffered", "itemReviewed", "subjectOf")
"""Properties that link a page, an offer or a rating to its book."""
_SYNTAX_ORDER = {syntax: order for order, syntax in enumerate(Syntax)}
_MAX_GROUPS_PER_KEY = 8
_MAX_COMPARED_NODES = 4
_MAX_NODES = 50
"""Limits that keep the cost linear when a page describes many books of one name, or one book many times."""
_EDITION_SUFFIX = re.compile(r"\s*[\[(][^\[\]()]*[\])]\s*$")


class Entity:
    """The nodes that describe one book, the most reliable first."""

    def __init__(self, node: Node, document: Document) -> None:
        self._document = document
        self.nodes: list[Node] = []
        self.isbns: frozenset[str] = frozenset()
        self.keys: frozenset[str] = frozenset()
        self.format: str | None = None
        self.editions: list[Entity] = []
        self.works: list[Entity] = []
        self.is_main_entity = False
        self.is_listed = False
        """An entry of a list on the page."""
        self.is_nested_edition = False
        self.add(node)

    def add(self, node: Node) -> None:
        if len(self.nodes) >= _MAX_NODES:
            return
        self.nodes.append(node)
        self.isbns |= node_isbns(node)
        self.keys |= node_keys(node)
        self.format = self.format or node_format(node)

    @property
    def is_book(self) -> bool:
        return any(map(is_book, self.nodes))

    @property
    def is_aside(self) -> bool:
        return all(node.is_aside for node in self.nodes)

    @property
    def name(self) -> str | None:
        """The title; an edition without one has the title of its work."""
        for entity in (self, *self.works[:1]):
            for node in entity.nodes:
                if (text := node.text("name", "headline")) and text.strip():
                    return text
        return None

    @property
    def url(self) -> str | None:
        return next((url for node in self.nodes if (url := node.url("url"))), None)

    @property
    def own_urls(self) -> list[str]:
        """The URLs of the book. An identifier with a fragment names a thing on any page."""
        urls = [url for node in self.nodes for url in node.urls("url")]
        return [*urls, *(node.id for node in self.nodes if node.id is not None and "#" not in node.id)]


def node_format(node: Node) -> str | None:
    for text in node.texts("bookFormat"):
        value = parse_format(text).value
        if value is not None:
            return value.value
    return "audiobook" if "Audiobook" in node.types else None


def name_key(name: str | None) -> str | None:
    """Return a key that is equal for the spellings of one title."""
    if not name:
        return None
    text = unicodedata.normalize("NFKC", parse_text(name[:1000]).value or "").casefold()
    return "".join(character for character in text if character.isalnum()) or None


def title_key(name: str | None) -> str | None:
    """Return the key of a title without a suffix such as `(Hardcover)`."""
    return name_key(_EDITION_SUFFIX.sub("", name)) if name else None


def is_book(node: Node) -> bool:
    if node.has_type(BOOK_TYPES):
        return True
    if not node.has_type(PRODUCT_TYPES) and node.syntax is not Syntax.CITATION:
        return False
    return (
        bool(node.properties.keys() & {"isbn", "author", "bookFormat"})
        or bool(node_isbns(node))
        or any(
            other.has_type(BOOK_TYPES)
            for other in node.nodes(
                *EDITION_PROPERTIES, *WORK_PROPERTIES, "mainEntity", "about", "itemOffered", "subjectOf"
            )
        )
        or any(type_name.rstrip("/").endswith("Book") for type_name in node.texts("additionalType"))
    )


def is_candidate(node: Node) -> bool:
    return node.has_type(BOOK_TYPES) or node.has_type(PRODUCT_TYPES)


def topic_nodes(roots: list[Node]) -> list[Node]:
    """Return the roots and the nodes that they are about, without duplicates."""
    seen: dict[int, Node] = {}
    pending = list(reversed(roots))
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen[id(node)] = node
        if not is_candidate(node):
            names = (*_TOPIC_PROPERTIES, "about") if node.has_type(_PAGE_TYPES) else _TOPIC_PROPERTIES
            pending.extend(reversed(node.nodes(*names)))
    return list(seen.values())


class EntityIndex:
    """The books and products of a page. Every node belongs to one entity. The cost is linear."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._by_key: dict[tuple[str, str], list[Entity]] = {}
        self._by_node: dict[int, Entity] = {}
        self.entities: list[Entity] = []

    def add_all(self, nodes: Iterable[Node]) -> None:
        candidates = [node for node in nodes if is_candidate(node)]
        # Books first: a product without a sign of a book completes a book.
        candidates.sort(key=lambda node: (_SYNTAX_ORDER[node.syntax], not node.has_type(BOOK_TYPES), not is_book(node)))
        for node in candidates:
            self.add(node)
            for edition in node.nodes(*EDITION_PROPERTIES):  # before other syntaxes, which describe one of the editions
                if _is_edition(edition):
                    self.add(edition, is_edition=True)
        for node in candidates:
            self._link_editions(node)

    def add(self, node: Node, *, is_edition: bool = False) -> Entity:
        entity = self._by_node.get(id(node))
        if entity is None:
            entity = self._find(node, is_edition=is_edition)
            if entity is None:
                entity = Entity(node, self._document)
                entity.is_nested_edition = is_edition
                self.entities.append(entity)
            else:
                entity.add(node)
            self._by_node[id(node)] = entity
            for key in self._keys(node, is_edition=is_edition):
                entities = self._by_key.setdefault(key, [])
                if entity not in entities[:_MAX_GROUPS_PER_KEY]:
                    entities.append(entity)
        return entity

    def _link_editions(self, node: Node) -> None:
        work = self._by_node[id(node)]
        for other in node.nodes(*EDITION_PROPERTIES):
            if _is_edition(other):
                self._link(work, self.add(other, is_edition=True))
        for other in node.nodes("itemOffered", "mainEntity", "subjectOf", "about"):
            if other.has_type(BOOK_TYPES) and not _is_book_about(node, other):
                self._merge_description(work, other)
        for other in _offered_editions(node):
            edition = self.add(other, is_edition=True)
            self._link(work, edition)
        for other in node.nodes(*WORK_PROPERTIES):
            if is_candidate(other) or "CreativeWork" in other.types:
                self._link(self.add(other, is_edition=True), work)

    def _merge_description(self, entity: Entity, node: Node) -> None:
        if id(node) not in self._by_node and not (entity.isbns and node_isbns(node) - entity.isbns):
            entity.add(node)
            self._by_node[id(node)] = entity

    @staticmethod
    def _link(work: Entity, edition: Entity) -> None:
        if work is not edition and edition not in work.editions and len(work.editions) < 500:
            work.editions.append(edition)
            edition.works.append(work)

    def find_by_node(self, node: Node) -> Entity | None:
        return self._by_node.get(id(node))

    def _find(self, node: Node, *, is_edition: bool) -> Entity | None:
        for key in self._keys(node, is_edition=is_edition):
            for entity in self._by_key.get(key, ())[:_MAX_GROUPS_PER_KEY]:
                if self._is_compatible(entity, node, key[0]):
                    return entity
        return None

    def _keys(self, node: Node, *, is_edition: bool) -> Iterator[tuple[str, str]]:
        isbns = node_isbns(node)
        if len(isbns) <= 2:
            yield from (("isbn", isbn) for isbn in sorted(isbns))
        yield from (("key", key) for key in sorted(node_keys(node)))
        if not is_edition and (key := name_key(node.text("name", "headline"))) is not None:
            yield "name", key

    def _is_compatible(self, entity: Entity, node: Node, kind: str) -> bool:
        isbns = node_isbns(node)
        book_format = node_format(node)
        is_other_isbn = bool(isbns and entity.isbns) and isbns.isdisjoint(entity.isbns)
        is_other_format = bool(book_format and entity.format) and book_format != entity.format
        if is_other_isbn or is_other_format:
            return False
        if kind == "isbn":
            return True
        url, entity_url = node.url("url"), entity.url
        if url and entity_url and self._page_key(url) != self._page_key(entity_url):
            return False
        if entity.is_aside != node.is_aside:
            return False
        return kind != "name" or not any(
            self._are_distinct(other, node) for other in entity.nodes[:_MAX_COMPARED_NODES]
        )

    def _page_key(self, url: str) -> str:
        return url_key(join_url(self._document.base_url, url) or url)

    @staticmethod
    def _are_distinct(node: Node, other: Node) -> bool:
        """Return True for two descriptions of one syntax and type that differ in identifier, author, key or price."""
        if node.syntax is not other.syntax or not set(node.types) & set(other.types):
            return False
        if node.id and other.id and node.id != other.id:
            return True
        authors, other_authors = _author_keys(node), _author_keys(other)
        if authors and other_authors and authors.isdisjoint(other_authors):
            return True
        keys, other_keys = node_keys(node), node_keys(other)
        if keys and other_keys and keys.isdisjoint(other_keys):
            return True
        prices, other_prices = _prices(node), _prices(other)
        return bool(prices and other_prices and prices != other_prices)


def _is_edition(node: Node) -> bool:
    return is_candidate(node) or not node.types


def _is_book_about(node: Node, other: Node) -> bool:
    """Return True if a book is about another book, for example a study of a novel."""
    return node.has_type(BOOK_TYPES) and other in node.nodes("about")


def _offered_editions(node: Node) -> Iterator[Node]:
    for offer in offers_of(node):
        yield from (other for other in offer.nodes("itemOffered") if other is not node and is_candidate(other))


def offers_of(node: Node) -> list[Node]:
    return [nested for offer in node.nodes("offers") for nested in (offer, *offer.nodes("offers"))]


def _author_keys(node: Node) -> set[str]:
    return {key for text in node.texts("author", "authors") if (key := name_key(text))}


def _prices(node: Node) -> set[str]:
    return {
        text.strip()
        for offer in (node, *offers_of(node))
        for part in (offer, *offer.nodes("priceSpecification"))
        for text in part.texts("price", "lowPrice")
    }


def is_main_entity_of(node: Node, document: Document) -> bool:
    """Return True if `mainEntityOfPage` names this page."""
    for value in node.properties.get("mainEntityOfPage", ()):
        if isinstance(value, Node):
            url = url_of(value)
            if url is None or document.is_own_url(url):
                return True
        elif document.is_own_url(value):
            return True
    return False


def label(node: Node) -> str:
    """Return the type and name of a node for people."""
    name = text_of(node)
    return f"{node.type_name}: {name.strip()[:100]}" if name and name.strip() else node.type_name

"""Finds the books in a page's schema.org data, builds their payloads, and collects the links of list pages."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bookwheel_scraper.extraction.structured_data import Node
from bookwheel_scraper.publishing.item_messages import Payload

_BOOK_TYPES = frozenset({"Book", "Audiobook"})
_PRODUCT_TYPES = frozenset({"Product", "IndividualProduct", "ProductModel", "ProductGroup", "SomeProducts"})
_LIST_TYPES = frozenset({"ItemList", "OfferCatalog", "CollectionPage", "SearchResultsPage"})
_TOPIC_PROPERTIES = ("mainEntity", "mainEntityOfPage", "about", "itemOffered", "subjectOf")
"""Properties that link a page, an offer or a product to its book."""
_SAME_BOOK_PROPERTIES = ("workExample", "exampleOfWork", *_TOPIC_PROPERTIES)
"""Properties that link a book or a product to another description of the same book."""
_ISBN_PREFIXES = ("978", "979")


@dataclass(slots=True)
class BookNode:
    """A book of a page. A field without a value in `node` is filled from the other descriptions of the book."""

    node: Node
    other_nodes: list[Node] = field(default_factory=list)

    @property
    def all_nodes(self) -> list[Node]:
        return [self.node, *self.other_nodes]

    @property
    def url(self) -> str | None:
        return next((url for node in self.all_nodes if (url := node.first_url("url"))), None)

    def text(self, *names: str) -> str | None:
        return next((text for node in self.all_nodes if (text := node.text(*names)) is not None), None)

    def texts(self, *names: str) -> list[str]:
        return next((texts for node in self.all_nodes if (texts := list(node.texts(*names)))), [])

    def nodes(self, *names: str) -> list[Node]:
        return [value for node in self.all_nodes for value in node.nodes(*names)]


@dataclass(slots=True)
class PageBooks:
    """`books` are the page's own books. `listed_books` are list entries; `links` are entries with only a URL."""

    books: list[BookNode] = field(default_factory=list)
    listed_books: list[BookNode] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.books or self.listed_books or self.links)


def read_page(roots: list[Node]) -> PageBooks:
    page = PageBooks()
    topic_nodes = list(_topic_nodes(roots))
    candidates = [node for node in topic_nodes if node.types & (_BOOK_TYPES | _PRODUCT_TYPES)]
    page.books = _merge_descriptions([node for node in candidates if _is_book(node)], candidates)
    for node in topic_nodes:
        if node.types & _LIST_TYPES or "itemListElement" in node.properties:
            _read_list(node, page)
    return page


def _topic_nodes(roots: list[Node]) -> Iterator[Node]:
    """Yields the roots and the nodes they are about, without duplicates."""
    seen: set[int] = set()
    pending = list(reversed(roots))
    while pending:
        node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if not _is_book(node):
            pending.extend(reversed(node.nodes(*_TOPIC_PROPERTIES)))


def _is_book(node: Node) -> bool:
    if node.types & _BOOK_TYPES:
        return True
    if not node.types & _PRODUCT_TYPES:
        return False
    identifiers = [*node.texts("gtin13", "gtin", "gtin14", "productID")]
    return (
        "isbn" in node.properties
        or "author" in node.properties
        or any(identifier.removeprefix("isbn:").startswith(_ISBN_PREFIXES) for identifier in identifiers)
        or any(other.types & _BOOK_TYPES for other in node.nodes(*_SAME_BOOK_PROPERTIES))
        or any(type_name.rstrip("/").endswith("Book") for type_name in node.texts("additionalType"))
    )


def _merge_descriptions(books: list[Node], candidates: list[Node]) -> list[BookNode]:
    """Returns one entry per book: descriptions with a common name or identifier are merged."""
    merged: list[BookNode] = []
    for node in [*books, *(candidate for candidate in candidates if candidate not in books)]:
        match = next((book for book in merged if _is_same_book(book.node, node)), None)
        if match is not None:
            match.other_nodes.append(node)
        elif node in books:
            merged.append(BookNode(node))
    for book in merged:
        for node in book.all_nodes:
            linked_nodes = (
                other for other in node.nodes(*_SAME_BOOK_PROPERTIES) if other.types & (_BOOK_TYPES | _PRODUCT_TYPES)
            )
            book.other_nodes.extend(other for other in linked_nodes if other not in book.all_nodes)
    return merged


def _is_same_book(node: Node, other: Node) -> bool:
    """Compares identifiers.

    Equal names are used only to match a book with a product, because editions have the same name.
    """
    identifiers = ("isbn", "gtin13", "gtin", "sku")
    if set(node.texts(*identifiers)) & set(other.texts(*identifiers)):
        return True
    return node.types != other.types and node.text("name") is not None and node.text("name") == other.text("name")


def _read_list(node: Node, page: PageBooks) -> None:
    for element in node.values("itemListElement"):
        item = element
        if isinstance(element, Node) and not _is_book(element):  # a ListItem or an offer
            items = element.nodes("item", "itemOffered")
            item = items[0] if items else element.first_url("item", "url") or element.id or ""
        if isinstance(item, Node) and _is_book(item):
            page.listed_books.extend(_merge_descriptions([item], [item]))
            continue
        url = item if isinstance(item, str) else item.text("url") or item.id
        if url:
            page.links.append(url)


def build_payload(book: BookNode) -> Payload:
    """Builds the payload of a book. Fields without a value are left out. URLs are unchanged and can be relative."""
    authors = book.texts("author", "authors")
    categories = book.texts("genre") or book.texts("category")
    offer = _find_offer(book)
    price_nodes = [offer, *offer.nodes("priceSpecification")]
    ratings = book.nodes("aggregateRating")
    rating = ratings[0] if ratings else Node()
    payload: Payload = {
        "key": book.text("sku", "productID", "mpn", "identifier"),
        "isbn": book.text("isbn") or _find_isbn(book),
        "title": book.text("name", "headline"),
        "subtitle": book.text("alternativeHeadline", "subtitle"),
        "authors": list(authors),
        "category": categories[0] if len(categories) == 1 else list(categories),
        "description": book.text("description"),
        "language": book.text("inLanguage"),
        "price": next((price for node in price_nodes if (price := node.text("price", "lowPrice"))), None),
        "currency": next((identifier for node in price_nodes if (identifier := node.text("priceCurrency"))), None),
        "availability": offer.first_url("availability"),
        "stock": offer.text("inventoryLevel"),
        "rating": rating.text("ratingValue"),
        "rating_best": rating.text("bestRating"),
        "rating_count": rating.text("ratingCount", "reviewCount"),
        "image_url": next((url for node in book.all_nodes if (url := node.first_url("image"))), None),
    }
    return {name: value for name, value in payload.items() if value and (not isinstance(value, str) or value.strip())}


def _find_offer(book: BookNode) -> Node:
    """Returns the first offer with a price, else the first offer, else an empty node."""
    offers = [nested for offer in book.nodes("offers") for nested in (offer, *offer.nodes("offers"))]
    priced = (offer for offer in offers if offer.text("price", "lowPrice") or offer.nodes("priceSpecification"))
    return next(priced, offers[0] if offers else Node())


def _find_isbn(book: BookNode) -> str | None:
    identifiers = book.texts("gtin13") or book.texts("gtin") or book.texts("productID")
    return next(
        (identifier for identifier in identifiers if identifier.removeprefix("isbn:").startswith(_ISBN_PREFIXES)), None
    )

"""Finds the books in a page's schema.org data, builds their payloads, and lists the links of lists."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bookwheel_scraper.extraction.structured_data import Node
from bookwheel_scraper.publishing.envelopes import Payload

_BOOKS = frozenset({"Book", "Audiobook"})
_PRODUCTS = frozenset({"Product", "IndividualProduct", "ProductModel", "ProductGroup", "SomeProducts"})
_LISTS = frozenset({"ItemList", "OfferCatalog", "CollectionPage", "SearchResultsPage"})
_SUBJECTS = ("mainEntity", "mainEntityOfPage", "about", "itemOffered", "subjectOf")
"""Properties from a page, an offer or a product to its book."""
_EDITIONS = ("workExample", "exampleOfWork", *_SUBJECTS)
"""Properties from a book or product to another description of the same thing."""
_ISBN_PREFIXES = ("978", "979")


@dataclass(slots=True)
class BookNode:
    """A book with its other descriptions on the page, which fill the fields that it lacks."""

    node: Node
    others: list[Node] = field(default_factory=list)

    @property
    def parts(self) -> list[Node]:
        return [self.node, *self.others]

    @property
    def url(self) -> str | None:
        return next((url for part in self.parts if (url := part.address("url"))), None)

    def text(self, *names: str) -> str | None:
        return next((text for part in self.parts if (text := part.text(*names)) is not None), None)

    def texts(self, *names: str) -> list[str]:
        return next((texts for part in self.parts if (texts := list(part.texts(*names)))), [])

    def nodes(self, *names: str) -> list[Node]:
        return [node for part in self.parts for node in part.nodes(*names)]


@dataclass(slots=True)
class PageBooks:
    """`books` are described by the page; `listed` are list entries; `links` are entries with only a URL."""

    books: list[BookNode] = field(default_factory=list)
    listed: list[BookNode] = field(default_factory=list)
    links: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.books or self.listed or self.links)


def read_page(roots: list[Node]) -> PageBooks:
    page = PageBooks()
    subjects = list(_subjects(roots))
    things = [node for node in subjects if node.types & (_BOOKS | _PRODUCTS)]
    page.books = _merged([node for node in things if _is_book(node)], things)
    for node in subjects:
        if node.types & _LISTS or "itemListElement" in node.properties:
            _read_list(node, page)
    return page


def _subjects(roots: list[Node]) -> Iterator[Node]:
    """The roots and their subjects, each once."""
    seen: set[int] = set()
    waiting = list(reversed(roots))
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        if not _is_book(node):
            waiting.extend(reversed(node.nodes(*_SUBJECTS)))


def _is_book(node: Node) -> bool:
    if node.types & _BOOKS:
        return True
    if not node.types & _PRODUCTS:
        return False
    codes = [*node.texts("gtin13", "gtin", "gtin14", "productID")]
    return (
        "isbn" in node.properties
        or "author" in node.properties
        or any(code.removeprefix("isbn:").startswith(_ISBN_PREFIXES) for code in codes)
        or any(other.types & _BOOKS for other in node.nodes(*_EDITIONS))
        or any(kind.rstrip("/").endswith("Book") for kind in node.texts("additionalType"))
    )


def _merged(books: list[Node], things: list[Node]) -> list[BookNode]:
    """One entry per book: a product and a book that share a name or a number describe the same book."""
    merged: list[BookNode] = []
    for node in [*books, *(thing for thing in things if thing not in books)]:
        match = next((book for book in merged if _is_same_book(book.node, node)), None)
        if match is not None:
            match.others.append(node)
        elif node in books:
            merged.append(BookNode(node))
    for book in merged:
        for part in book.parts:
            editions = (other for other in part.nodes(*_EDITIONS) if other.types & (_BOOKS | _PRODUCTS))
            book.others.extend(other for other in editions if other not in book.parts)
    return merged


def _is_same_book(node: Node, other: Node) -> bool:
    """Compares numbers. Names count only between a book and a product, because editions share their name."""
    numbers = ("isbn", "gtin13", "gtin", "sku")
    if set(node.texts(*numbers)) & set(other.texts(*numbers)):
        return True
    return node.types != other.types and node.text("name") is not None and node.text("name") == other.text("name")


def _read_list(node: Node, page: PageBooks) -> None:
    for element in node.values("itemListElement"):
        entry = element
        if isinstance(entry, Node) and not _is_book(entry):  # a ListItem, or an offer
            items = entry.nodes("item", "itemOffered")
            entry = items[0] if items else entry.address("item", "url") or entry.id or ""
        if isinstance(entry, Node):
            if _is_book(entry):
                page.listed.extend(_merged([entry], [entry]))
            elif address := entry.text("url") or entry.id:
                page.links.append(address)
        elif entry:
            page.links.append(entry)


def book_payload(book: BookNode) -> Payload:
    """The payload of one book, without fields that the data lacks. URLs are as written, possibly relative."""
    authors = book.texts("author", "authors")
    categories = book.texts("genre") or book.texts("category")
    offer = _offer(book)
    prices = [offer, *offer.nodes("priceSpecification")]
    ratings = book.nodes("aggregateRating")
    rating = ratings[0] if ratings else Node()
    payload: Payload = {
        "key": book.text("sku", "productID", "mpn", "identifier"),
        "isbn": book.text("isbn") or _isbn_of_codes(book),
        "title": book.text("name", "headline"),
        "subtitle": book.text("alternativeHeadline", "subtitle"),
        "authors": list(authors),
        "category": categories[0] if len(categories) == 1 else list(categories),
        "description": book.text("description"),
        "language": book.text("inLanguage"),
        "price": next((price for part in prices if (price := part.text("price", "lowPrice"))), None),
        "currency": next((code for part in prices if (code := part.text("priceCurrency"))), None),
        "availability": offer.address("availability"),
        "stock": offer.text("inventoryLevel"),
        "rating": rating.text("ratingValue"),
        "rating_best": rating.text("bestRating"),
        "rating_count": rating.text("ratingCount", "reviewCount"),
        "image_url": next((url for part in book.parts if (url := part.address("image"))), None),
    }
    return {name: value for name, value in payload.items() if value and (not isinstance(value, str) or value.strip())}


def _offer(book: BookNode) -> Node:
    """The first offer with a price, else the first offer."""
    offers = [nested for offer in book.nodes("offers") for nested in (offer, *offer.nodes("offers"))]
    priced = (offer for offer in offers if offer.text("price", "lowPrice") or offer.nodes("priceSpecification"))
    return next(priced, offers[0] if offers else Node())


def _isbn_of_codes(book: BookNode) -> str | None:
    codes = book.texts("gtin13") or book.texts("gtin") or book.texts("productID")
    return next((code for code in codes if code.removeprefix("isbn:").startswith(_ISBN_PREFIXES)), None)

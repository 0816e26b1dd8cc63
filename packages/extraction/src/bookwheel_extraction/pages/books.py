"""Builds the books of a page: one for each edition, with its own ISBN, format and price."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import urldefrag, urlsplit

from bookwheel_extraction.pages.document import Document, clean_url, join_url
from bookwheel_extraction.pages.entities import Entity, title_key
from bookwheel_extraction.pages.fields import FieldReader
from bookwheel_extraction.pages.models import ExtractedBook, FieldFault
from bookwheel_extraction.pages.nodes import Node
from bookwheel_extraction.pages.offers import OfferContext, OfferFields, read_offers
from bookwheel_extraction.values.urls import page_path

MAX_EDITIONS = 200


@dataclass(slots=True)
class BookBuilder:
    """Builds books with what they share: the page, its breadcrumbs, and the context of its prices.

    `extra_nodes` are the `meta` tags of the page. They complete its main book.
    """

    document: Document
    offer_context: OfferContext
    breadcrumbs: Sequence[Node]
    extra_nodes: Sequence[Node] = ()

    def build_main(self, entity: Entity, others: Sequence[Entity]) -> tuple[ExtractedBook, ...]:
        """Build the book of the page, or one book for each of its editions."""
        work, editions = self._find_editions(entity, others)
        extra_nodes = [node for node in self.extra_nodes if _fits(node, [work, *editions])]
        if not editions:
            return (self._build([*work.nodes, *extra_nodes]),)
        if len(editions) == 1 and not (work.isbns - editions[0].isbns):
            edition = editions[0]
            nodes = [*edition.nodes, *(node for node in [*work.nodes, *extra_nodes] if _agrees(node, edition))]
            return (self._build(list(dict.fromkeys(nodes)), inherited=work.nodes),)
        if work.isbns and not any(work.isbns & edition.isbns for edition in editions):
            editions = [work, *editions]
        has_own_prices = any(_has_price(edition.nodes) for edition in editions)
        books = [self._build_edition(edition, work.nodes, extra_nodes, len(editions)) for edition in editions]
        if (
            not work.isbns
            and not has_own_prices
            and (prices := read_offers(work.nodes, self.offer_context, None)).offers
        ):
            books[0] = _add_fault(books[0], prices)
        return tuple(_without_equal_editions(books))

    def build_listed(self, entities: Sequence[Entity]) -> tuple[ExtractedBook, ...]:
        """Build the books of a list page that have no own page. Their keys do not depend on the order of the list."""
        urls = [self._entity_url(entity) for entity in entities]
        counts: dict[str | None, int] = {}
        for url in urls:
            counts[url] = counts.get(url, 0) + 1
        books = []
        for entity, url in zip(entities, urls, strict=True):
            book = self._build(entity.nodes, is_listed=True)
            key = book.key or book.value("isbn") or (url if counts[url] == 1 else None) or _digest(book)
            books.append(_with_key(book, key, None))
        return tuple(books)

    def _build(
        self, nodes: Sequence[Node], *, inherited: Sequence[Node] = (), is_listed: bool = False
    ) -> ExtractedBook:
        breadcrumbs = () if is_listed else self.breadcrumbs
        reader = FieldReader(self.document, nodes, inherited, breadcrumbs)
        reader.read_all()
        book_format = reader.fields["format"].value.value if "format" in reader.fields else None
        offers = read_offers(nodes, self.offer_context, book_format)
        key = reader.fields.pop("key", None)
        return ExtractedBook(
            url=self.document.canonical_url or clean_url(self.document.url),
            fields={**reader.fields, **offers.fields},
            key=key.value if key is not None else None,
            offers=offers.offers,
            faults=(*reader.faults, *offers.faults),
        )

    def _build_edition(
        self, edition: Entity, work_nodes: Sequence[Node], extra_nodes: Sequence[Node], count: int
    ) -> ExtractedBook:
        own_extra = [node for node in extra_nodes if node.isbns and node.isbns & edition.isbns]
        inherited = [node for node in [*work_nodes, *extra_nodes] if node not in edition.nodes]
        book = self._build([*edition.nodes, *own_extra], inherited=inherited)
        isbn = book.value("isbn")
        book_format = book.value("format")
        name = isbn or (str(book_format.value) if book_format is not None else None) or book.key
        name = name or _edition_url(edition, self.document)
        if name is None or count < 2:
            return book
        return _with_key(book, f"{_path(book.url)}~{name}", name)

    def _find_editions(self, entity: Entity, others: Sequence[Entity]) -> tuple[Entity, list[Entity]]:
        """Return the work and its editions on this page. Without editions, the work is the book itself."""
        work = entity
        if not entity.editions and entity.works:
            work = next((work for work in entity.works if entity in work.editions), entity)
        editions = [edition for edition in work.editions if edition is not work and not edition.is_listed]
        if not editions:
            key = title_key(entity.name)
            editions = [
                other
                for other in others
                if other is not entity
                and key is not None
                and title_key(other.name) == key
                and not other.is_aside
                and not other.is_listed
                and not self.document.is_other_page(other.url)
            ]
            if editions:
                return entity, [entity, *editions][:MAX_EDITIONS]
        return work, [edition for edition in editions if not self._has_own_page(edition, entity)][:MAX_EDITIONS]

    def _has_own_page(self, edition: Entity, chosen: Entity) -> bool:
        """Return True for an edition that has another page and states nothing to sell here."""
        return edition is not chosen and self.document.is_other_page(edition.url) and not _has_price(edition.nodes)

    def _entity_url(self, entity: Entity) -> str | None:
        """Return the URL or `@id` of a listed book, without the host if that is the page's."""
        for node_url in (entity.url, *(node.id for node in entity.nodes)):
            if not node_url or node_url.startswith("_:"):
                continue
            url = join_url(self.document.base_url, node_url)
            if url is None:
                return node_url  # a URN or a name
            if self.document.is_own_url(url) and not urldefrag(url)[1]:
                continue
            parts = urlsplit(url)
            if parts.netloc and parts.netloc == urlsplit(self.document.url).netloc:
                return parts._replace(scheme="", netloc="").geturl()
            return url
        return None


def _has_price(nodes: Sequence[Node]) -> bool:
    return any(node.properties.keys() & {"offers", "price"} for node in nodes)


def _fits(node: Node, entities: Sequence[Entity]) -> bool:
    """Return True if a description by `meta` tags is about the chosen book."""
    isbns = frozenset[str]().union(*(entity.isbns for entity in entities))
    return not node.isbns or not isbns or not isbns.isdisjoint(node.isbns)


def _agrees(node: Node, edition: Entity) -> bool:
    return not (node.isbns and edition.isbns and node.isbns.isdisjoint(edition.isbns))


def _with_key(book: ExtractedBook, key: str | None, edition: str | None) -> ExtractedBook:
    return ExtractedBook(book.url, book.fields, key, edition, book.offers, book.faults)


def _add_fault(book: ExtractedBook, prices: OfferFields) -> ExtractedBook:
    raw = next((offer.raw["price"] for offer in prices.offers if "price" in offer.raw), "")
    fault = FieldFault("price", "ambiguous_edition", raw)
    return ExtractedBook(book.url, book.fields, book.key, book.edition, book.offers, (*book.faults, fault))


def _without_equal_editions(books: Sequence[ExtractedBook]) -> list[ExtractedBook]:
    """Keep the first of several editions with one key. Their prices are dropped if they differ."""
    by_key: dict[str | None, ExtractedBook] = {}
    for book in books:
        first = by_key.setdefault(book.key, book)
        if first is not book and first.value("price") != book.value("price"):
            fields = {name: value for name, value in first.fields.items() if name not in {"price", "list_price"}}
            fault = FieldFault("price", "ambiguous_edition", "")
            by_key[book.key] = ExtractedBook(
                first.url, fields, first.key, first.edition, (*first.offers, *book.offers), (*first.faults, fault)
            )
    return list(by_key.values())


def _edition_url(edition: Entity, document: Document) -> str | None:
    url = join_url(document.base_url, edition.url) if edition.url else None
    return _path(url) if url and document.is_other_page(edition.url) else None


def _path(url: str) -> str:
    return page_path(url).value or url


def _digest(book: ExtractedBook) -> str | None:
    title = book.value("title")
    if not title:
        return None
    contributors = book.value("contributors") or ()
    names = sorted(contributor.name.casefold() for contributor in contributors if contributor.role == "author")
    content = "\n".join((" ".join(title.split()).casefold(), *names)).encode("utf-8", "surrogatepass")
    return f"list:{sha256(content).hexdigest()[:32]}"

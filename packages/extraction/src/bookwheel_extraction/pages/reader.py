"""Reads one page: the only entry point."""

from urllib.parse import urlsplit

from bookwheel_extraction.pages.books import BookBuilder
from bookwheel_extraction.pages.decoding import decode_page
from bookwheel_extraction.pages.document import Document, parse_html
from bookwheel_extraction.pages.entities import EntityIndex, label, topic_nodes
from bookwheel_extraction.pages.graph import join_nodes
from bookwheel_extraction.pages.identifiers import node_isbns
from bookwheel_extraction.pages.json_ld import JsonLdParser
from bookwheel_extraction.pages.meta_tags import MetaTags, read_meta_tags
from bookwheel_extraction.pages.microdata import MicrodataParser
from bookwheel_extraction.pages.models import (
    ExtractedBook,
    FieldFault,
    Outcome,
    PageHints,
    PageResult,
    Syntax,
)
from bookwheel_extraction.pages.nodes import Node, NodeBudget, walk
from bookwheel_extraction.pages.offers import OfferContext, page_currency
from bookwheel_extraction.pages.rdfa import RdfaParser
from bookwheel_extraction.pages.selection import Selection, select
from bookwheel_extraction.values.currencies import currency_of_country

MAX_ENTITIES_LISTED = 50
_ORGANIZATION_TYPES = frozenset({"Organization", "OnlineStore", "BookStore", "Store", "LocalBusiness", "WebSite"})
_NO_COUNTRY_DOMAINS = frozenset(
    {"co", "io", "me", "tv", "ai", "eu", "cc", "ws", "to", "fm", "ly", "gg", "vc", "nu", "is"}
)


def read_page(body: bytes, url: str, hints: PageHints | None = None) -> PageResult:
    """Read a page. The same page and hints always give the same result. Never raises for any `body`.

    The cost is linear in the length of `body`, with limits on the number of entities and references.
    """
    hints = hints or PageHints()
    text, encoding = decode_page(body, hints.content_type)
    root = parse_html(text)
    if root is None:
        return PageResult(Outcome.OTHER, url, reason="the page is empty", encoding=encoding)
    return _PageReader(Document(root, url, hints.other_urls, hints.link_headers), text, hints, encoding).read()


class _PageReader:
    def __init__(self, document: Document, text: str, hints: PageHints, encoding: str) -> None:
        self._document = document
        self._text = text
        self._hints = hints
        self._encoding = encoding
        self._faults: list[FieldFault] = []
        self._json_ld: JsonLdParser | None = None

    def read(self) -> PageResult:
        document = self._document
        roots, tags = self._parse()
        top = join_nodes(roots, document.base_url)
        nodes = walk(roots)
        topics = topic_nodes(top)
        index = EntityIndex(document)
        index.add_all(topics)
        tag_nodes = [node for node in (tags.open_graph, tags.citation) if node is not None]
        for node in tag_nodes:
            node_isbns(node)
        selection = select(document, topics, index, tags, self._hints.kind)
        if selection.main is None and not selection.is_list:
            self._select_by_tags(selection, index, tag_nodes)
        books = self._build_books(selection, index, nodes, tags, tag_nodes)
        return self._result(selection, books, roots, tag_nodes, index)

    def _parse(self) -> tuple[list[Node], MetaTags]:
        root, base_url, texts = self._document.root, self._document.base_url, self._document.texts
        budget = NodeBudget()
        roots: list[Node] = []
        self._json_ld = json_ld = JsonLdParser(base_url, budget)
        json_ld.parse(root)
        roots.extend(json_ld.roots)
        self._faults.extend(block.fault for block in json_ld.unreadable)
        if "itemscope" in self._text or "ITEMSCOPE" in self._text:
            microdata = MicrodataParser(base_url, budget, texts)
            microdata.parse(root)
            roots.extend(microdata.roots)
            if microdata.has_too_many_references:
                self._faults.append(FieldFault("page", "too_many_references", "itemref"))
        if "typeof" in self._text or "TYPEOF" in self._text:
            rdfa = RdfaParser(base_url, budget, texts)
            rdfa.parse(root)
            roots.extend(rdfa.roots)
        if budget.is_exceeded:
            self._faults.append(FieldFault("page", "too_many_entities", ""))
        return roots, read_meta_tags(root)

    def _select_by_tags(self, selection: Selection, index: EntityIndex, tag_nodes: list[Node]) -> None:
        """Use the description by `meta` tags if the page has no other."""
        for node in tag_nodes:
            if any(entity.is_book for entity in index.entities):
                return
            entity = index.add(node) if node.types == ("Book",) or node.isbns else None
            if entity is not None and entity.is_book:
                selection.main, selection.choice, selection.is_certain = entity, node.syntax.value, True
                return

    def _build_books(
        self,
        selection: Selection,
        index: EntityIndex,
        nodes: list[Node],
        tags: MetaTags,
        tag_nodes: list[Node],
    ) -> tuple[ExtractedBook, ...]:
        if selection.main is None and not selection.listed:
            return ()
        builder = BookBuilder(
            self._document,
            self._offer_context(nodes, tags, tag_nodes),
            [
                node
                for node in nodes
                if ("BreadcrumbList" in node.types and not node.is_aside) or "Breadcrumb" in node.types
            ],
            tag_nodes,
        )
        if selection.main is not None:
            others = [entity for entity in index.entities if entity.is_book and not entity.is_nested_edition]
            return builder.build_main(selection.main, others)
        return builder.build_listed(selection.listed)

    def _offer_context(self, nodes: list[Node], tags: MetaTags, tag_nodes: list[Node]) -> OfferContext:
        host = (urlsplit(self._document.url).hostname or "").removeprefix("www.")
        sellers = {tags.site_name} if tags.site_name else set()
        countries: list[str] = []
        for node in nodes:
            if not node.has_type(_ORGANIZATION_TYPES):
                continue
            address = node.nodes("address")
            countries.extend(text for part in address for text in part.texts("addressCountry"))
            if "WebSite" in node.types or self._is_own_site(node):
                sellers.update(node.texts("name"))
        offers = [offer for node in tag_nodes for offer in node.nodes("offers")]
        return OfferContext(
            base_url=self._document.base_url,
            host=host,
            sellers=frozenset(seller.strip().casefold() for seller in sellers if seller),
            currency_hint=self._currency_hint([*nodes, *offers], countries, host),
            declared_currency=self._hints.currency,
            today=self._hints.today,
        )

    def _is_own_site(self, node: Node) -> bool:
        url = node.url("url") or node.id
        return url is not None and self._document.is_own_site(url)

    def _currency_hint(self, nodes: list[Node], countries: list[str], host: str) -> str | None:
        """Return the currency of the other prices, else of the country, else of the source's declaration."""
        currency = page_currency(nodes)
        if currency is not None:
            return currency
        codes = {code for country in countries if (code := currency_of_country(country.strip())) is not None}
        if len(codes) == 1:
            return codes.pop()
        domain = host.rpartition(".")[2]
        if len(domain) == 2 and domain not in _NO_COUNTRY_DOMAINS:
            code = currency_of_country("GB" if domain == "uk" else domain.upper())
            if code is not None:
                return code
        if self._hints.country is not None and (code := currency_of_country(self._hints.country)) is not None:
            return code
        return self._hints.currency

    def _result(
        self,
        selection: Selection,
        books: tuple[ExtractedBook, ...],
        roots: list[Node],
        tag_nodes: list[Node],
        index: EntityIndex,
    ) -> PageResult:
        document = self._document
        outcome, reason, position = self._outcome(selection, books, index)
        links = () if outcome is Outcome.UNREADABLE else document.absolute_urls(selection.links)
        if selection.has_too_many_entries:
            self._faults.append(FieldFault("page", "too_many_list_entries", ""))
        present = [node.syntax for node in (*roots, *tag_nodes)]
        is_plain = outcome is Outcome.OTHER and not index.entities
        return PageResult(
            outcome=outcome,
            url=document.canonical_url or document.url,
            reason=reason,
            position=position,
            books=books if outcome in {Outcome.BOOK, Outcome.LIST} else (),
            book_links=links,
            next_pages=document.next_pages(),
            plain_links=document.plain_links() if is_plain else (),
            faults=tuple(self._faults),
            syntaxes=tuple(syntax for syntax in Syntax if syntax in present),
            entities=tuple(label(node) for node in [*roots, *tag_nodes][:MAX_ENTITIES_LISTED]),
            choice=selection.choice,
            encoding=self._encoding,
        )

    def _outcome(
        self, selection: Selection, books: tuple[ExtractedBook, ...], index: EntityIndex
    ) -> tuple[Outcome, str | None, str | None]:
        unreadable = (
            next((block for block in self._json_ld.unreadable if block.may_be_book), None) if self._json_ld else None
        )
        if selection.main is not None and books and (selection.is_certain or unreadable is None):
            return Outcome.BOOK, f"chosen by: {selection.choice}", None
        if unreadable is not None and not books:
            return Outcome.UNREADABLE, unreadable.fault.text, unreadable.position
        if selection.main is not None and unreadable is not None:
            return Outcome.UNREADABLE, unreadable.fault.text, unreadable.position
        if selection.is_list:
            return Outcome.LIST, None, None
        if index.entities:
            types = ", ".join(dict.fromkeys(entity.nodes[0].type_name for entity in index.entities[:10]))
            return Outcome.OTHER, f"no sign of a book: {types}", None
        return Outcome.OTHER, "no book data", None

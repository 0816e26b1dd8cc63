"""Crawls any site that describes its books with structured data.

A book page is the page of one book. A list page links to book pages, or describes books that have no own page.

- The books of a book page are published: one for each edition. Links to other books are followed.
- From a list page, the crawl follows the links to book pages and to the next page, and publishes the books without an
  own page.
- From a list page without structured data, the crawl follows all links. It publishes the book pages among them and
  follows no further links.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from bookwheel_contracts import FetchedPage, FieldFault, PageOutcome
from bookwheel_extraction.pages import FieldFault as ExtractedFault
from bookwheel_extraction.pages import Outcome, PageHints, PageKind, PageResult, read_page
from bookwheel_extraction.pages.document import url_key
from bookwheel_runtime.logs import get_logger
from scrapy import Request
from scrapy.http import HtmlResponse

from bookwheel_scraper.extraction.payloads import build_payload
from bookwheel_scraper.publishing.item_messages import ScrapedBook, build_fault, build_page
from bookwheel_scraper.spiders.book_spider import BookSpider, PageParser, SpiderOutput

logger = get_logger(__name__)
MAX_NEXT_PAGES = 5_000
MAX_NEXT_PAGES_WITHOUT_LINKS = 20
"""Limits of a chain of next pages: an endless calendar has no end, or no new books."""


class SchemaOrgSpider(BookSpider):
    name = "schema_org"

    def __init__(self, **kwargs: object) -> None:
        super().__init__(**kwargs)  # type: ignore[arg-type]  # Scrapy passes the arguments of the crawl
        self._requested_pages: set[int] = set()
        self._published_books: set[int] = set()
        self._is_chain_cut = False

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        return self.parse_page(response, PageKind.UNKNOWN)

    def read_page(self, response: HtmlResponse) -> PageResult:
        return self.read(response, PageKind.UNKNOWN)

    def parse_next(self, response: HtmlResponse) -> SpiderOutput:
        """The next page of a list page is a list page, even with only one book."""
        return self.parse_page(response, PageKind.LIST)

    def parse_linked(self, response: HtmlResponse) -> SpiderOutput:
        """A page that is linked from a list page as a book page."""
        return self.parse_page(response, PageKind.BOOK)

    def parse_plain_link(self, response: HtmlResponse) -> SpiderOutput:
        """A page that is linked from a list page without structured data."""
        page = self.read(response, PageKind.BOOK)
        yield _fetched_page(response, page)
        if page.outcome is Outcome.BOOK:
            yield from self.publish(page)

    def parse_page(self, response: HtmlResponse, kind: PageKind) -> SpiderOutput:
        page = self.read(response, kind)
        yield _fetched_page(response, page)
        if page.outcome is Outcome.BOOK:
            yield from self.publish(page)
            yield from self.follow(page.book_links, self.parse_linked)
            return
        requests = list(self.follow(page.book_links, self.parse_linked))
        plain_requests = list(self.follow(page.plain_links, self.parse_plain_link))
        books = list(self.publish(page))
        # The next list is requested first, so it is fetched together with the books of this list.
        yield from self.follow_next(response, page, has_news=bool(requests or plain_requests or books))
        yield from requests
        yield from books
        yield from plain_requests

    def read(self, response: HtmlResponse, kind: PageKind) -> PageResult:
        redirects = response.request.meta.get("redirect_urls", ()) if response.request else ()
        hints = PageHints(
            content_type=_header(response, "Content-Type"),
            link_headers=tuple(value.decode("latin-1") for value in response.headers.getlist("Link")),
            today=datetime.now(UTC).date(),
            kind=kind,
            other_urls=tuple(redirects),
        )
        page = read_page(response.body, response.url, hints)
        self._requested_pages.update(map(_digest, (response.url, page.url)))
        for fault in page.faults:
            logger.info("structured data unreadable", url=response.url, code=fault.code, text=fault.text)
        return page

    def publish(self, page: PageResult) -> Iterator[ScrapedBook]:
        """Yield the books of a page. A book that was published under another URL of the page is left out."""
        for book in page.books:
            digest = hash((url_key(book.url), book.key))
            if digest not in self._published_books:
                self._published_books.add(digest)
                yield ScrapedBook(book.url, build_payload(book), _build_faults(book.faults))

    def follow(self, urls: tuple[str, ...], parser: PageParser) -> Iterator[Request]:
        """Request pages that were not requested under another spelling of their URL."""
        for url in urls:
            digest = _digest(url)
            if digest not in self._requested_pages:
                self._requested_pages.add(digest)
                yield self.request(url, parser)

    def follow_next(self, response: HtmlResponse, page: PageResult, *, has_news: bool) -> Iterator[Request]:
        meta = response.request.meta if response.request else {}
        length = meta.get("chain_length", 0) + 1
        without_news = 0 if has_news else meta.get("pages_without_news", 0) + 1
        if length > MAX_NEXT_PAGES or without_news > MAX_NEXT_PAGES_WITHOUT_LINKS:
            if page.next_pages and not self._is_chain_cut:
                self._is_chain_cut = True
                self.context.record_error(
                    f"{response.url}: the chain of next pages is cut after {length} pages: "
                    f"{without_news} pages without a new link or book"
                )
            return
        for request in self.follow(page.next_pages, self.parse_next):
            request.meta.update(chain_length=length, pages_without_news=without_news)
            yield request


def _fetched_page(response: HtmlResponse, page: PageResult) -> FetchedPage:
    return build_page(
        response.url,
        PageOutcome(page.outcome.value),
        reason=page.reason,
        position=page.position,
        faults=_build_faults(page.faults),
    )


def _build_faults(faults: Iterable[ExtractedFault]) -> tuple[FieldFault, ...]:
    return tuple(build_fault(fault.field, fault.code, fault.text) for fault in faults)


def _digest(url: str) -> int:
    return hash(url_key(url))


def _header(response: HtmlResponse, name: str) -> str | None:
    value = response.headers.get(name)
    return value.decode("latin-1") if value else None

"""Crawls any site that describes its books with schema.org data: follows lists to their books and to the next page.

A page that describes one book is that book's page, and the crawl follows no links from it. A start page counts as a
book's page only if it has no next page and the book has no page of its own elsewhere on the site. Every other page is
a list: books with a page of their own are followed, the others are published from the list. On a list without
structured data all links are followed, but a page behind them counts only if it is a book's page. So the crawl does not
wander over the whole site.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse

from bookwheel_scraper.extraction.listed_books import is_same_page, list_keys
from bookwheel_scraper.extraction.schema_books import BookNode, PageBooks, book_payload, read_page
from bookwheel_scraper.extraction.structured_data import page_syntaxes
from bookwheel_scraper.publishing.envelopes import ScrapedBook
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput

_NAVIGATION = "ancestor::nav or ancestor::header or ancestor::footer or contains(concat(' ', @rel, ' '), ' nofollow ')"
_LINKS = f"//a[@href][not({_NAVIGATION})]/@href"


class SchemaOrgSpider(BookSpider):
    name = "schema_org"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        page = extract_books(response)
        is_list_of_one = len(page.books) == 1 and self.has_page_elsewhere(response, page.books[0])
        may_be_book_page = not is_list_of_one and not next_pages(response)
        return self.parse_page(response, page, may_be_book_page=may_be_book_page)

    def parse_next(self, response: HtmlResponse) -> SpiderOutput:
        """The next page of a list is a list, even with only one book."""
        return self.parse_page(response, extract_books(response), may_be_book_page=False)

    def parse_linked(self, response: HtmlResponse) -> SpiderOutput:
        """A page linked from a list: usually a book's page, whatever URL or next page it declares."""
        return self.parse_page(response, extract_books(response), may_be_book_page=True)

    def parse_page(self, response: HtmlResponse, page: PageBooks, *, may_be_book_page: bool) -> SpiderOutput:
        if len(page.books) == 1 and may_be_book_page:
            yield scraped_book(response, page.books[0])
            return
        for url in next_pages(response):
            yield self.request(url, self.parse_next)
        if page:
            yield from self.parse_list(response, page, may_be_book_page=may_be_book_page)
        else:
            for href in response.xpath(_LINKS).getall():
                yield from self.follow(response, href, plain_link=True)

    def parse_list(self, response: HtmlResponse, page: PageBooks, *, may_be_book_page: bool) -> SpiderOutput:
        """With `may_be_book_page`, the only book without a page elsewhere is the page's own; others are links."""
        books_here: list[BookNode] = []
        for book in (*page.books, *page.listed):
            url = response.urljoin(book.url) if book.url else response.url
            if is_same_page(url, response.url):
                books_here.append(book)
            else:
                yield from self.follow(response, url)
        if may_be_book_page and len(books_here) == 1 and any(books_here[0] is book for book in page.books):
            yield scraped_book(response, books_here[0])
        else:
            for book, key in zip(books_here, list_keys(books_here, response.url), strict=True):
                yield scraped_book(response, book, key=key)
        for link in page.links:
            yield from self.follow(response, link)

    def has_page_elsewhere(self, response: HtmlResponse, book: BookNode) -> bool:
        """Whether the book's own page is another page of this site."""
        url = response.urljoin(book.url) if book.url else response.url
        canonical = response.xpath('//link[@rel="canonical"]/@href').get("")
        redirects = response.request.meta.get("redirect_urls", ()) if response.request else ()
        own_urls = (response.url, response.urljoin(canonical.strip()), *redirects)
        host = urlsplit(url).hostname or ""
        is_on_site = any(host == domain or host.endswith(f".{domain}") for domain in self.allowed_domains)
        return is_on_site and not any(is_same_page(url, own_url) for own_url in own_urls)

    def parse_plain_link(self, response: HtmlResponse) -> SpiderOutput:
        """A page behind a link without structured data."""
        books = extract_books(response).books
        if len(books) == 1:
            yield scraped_book(response, books[0])

    def follow(self, response: HtmlResponse, href: str, *, plain_link: bool = False) -> Iterator[Request]:
        url = without_fragment(response.urljoin(href.strip()))
        if url.startswith(("http://", "https://")) and url != without_fragment(response.url):
            yield self.request(url, self.parse_plain_link if plain_link else self.parse_linked)


def extract_books(response: HtmlResponse) -> PageBooks:
    """The books of the first syntax that describes any."""
    return next((page for roots in page_syntaxes(response) if (page := read_page(roots))), PageBooks())


def next_pages(response: HtmlResponse) -> list[str]:
    hrefs = response.xpath('//*[self::a or self::link][contains(concat(" ", @rel, " "), " next ")]/@href').getall()
    urls = (response.urljoin(href.strip()) for href in hrefs)
    return [url for url in dict.fromkeys(urls) if url.startswith(("http://", "https://"))]


def scraped_book(response: HtmlResponse, book: BookNode, *, key: str | None = None) -> ScrapedBook:
    """`key` identifies a book without a number of its own among other books of the same page."""
    payload = book_payload(book)
    if key is not None:
        payload.setdefault("key", key)
    image = payload.get("image_url")
    if isinstance(image, str):
        payload["image_url"] = response.urljoin(image)
    return ScrapedBook(response.url, payload)


def without_fragment(url: str) -> str:
    return url.partition("#")[0]

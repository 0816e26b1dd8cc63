"""Crawls any site that describes its books with schema.org data.

A book page is the page of one book. A list page links to book pages, or describes books without a page of their own.

- A book page is published, and its links are not followed.
- From a list page, the crawl follows the links to book pages and to the next page, and publishes the books without a
  page of their own.
- A start page with one book is a list page if it has a next page, or if the book has another page on the site.
- From a list page without structured data, the crawl follows all links. It publishes the book pages among them and
  follows no further links.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse

from bookwheel_scraper.extraction.listed_books import build_keys, is_same_page
from bookwheel_scraper.extraction.schema_books import BookNode, PageBooks, build_payload, read_page
from bookwheel_scraper.extraction.structured_data import parse_nodes_by_syntax
from bookwheel_scraper.publishing.item_messages import ScrapedBook
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput

_NAVIGATION = "ancestor::nav or ancestor::header or ancestor::footer or contains(concat(' ', @rel, ' '), ' nofollow ')"
_LINKS = f"//a[@href][not({_NAVIGATION})]/@href"


class SchemaOrgSpider(BookSpider):
    name = "schema_org"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        page = extract_books(response)
        is_list_with_one_book = len(page.books) == 1 and self.has_page_elsewhere(response, page.books[0])
        may_be_book_page = not is_list_with_one_book and not find_next_pages(response)
        return self.parse_page(response, page, may_be_book_page=may_be_book_page)

    def parse_next(self, response: HtmlResponse) -> SpiderOutput:
        """The next page of a list page is a list page, even with only one book."""
        return self.parse_page(response, extract_books(response), may_be_book_page=False)

    def parse_linked(self, response: HtmlResponse) -> SpiderOutput:
        """Parses a page that a list page links to.

        With one book, it is treated as a book page even if it declares another URL or a next page.
        """
        return self.parse_page(response, extract_books(response), may_be_book_page=True)

    def parse_page(self, response: HtmlResponse, page: PageBooks, *, may_be_book_page: bool) -> SpiderOutput:
        if len(page.books) == 1 and may_be_book_page:
            yield build_scraped_book(response, page.books[0])
            return
        for url in find_next_pages(response):
            yield self.request(url, self.parse_next)
        if page:
            yield from self.parse_list(response, page, may_be_book_page=may_be_book_page)
        else:
            for href in response.xpath(_LINKS).getall():
                yield from self.follow(response, href, plain_link=True)

    def parse_list(self, response: HtmlResponse, page: PageBooks, *, may_be_book_page: bool) -> SpiderOutput:
        """Follows the books with an own page and publishes the others.

        If `may_be_book_page` and exactly one book has no other page, the page is that book's page; the other books are
        followed.
        """
        books_without_own_page: list[BookNode] = []
        for book in (*page.books, *page.listed_books):
            url = response.urljoin(book.url) if book.url else response.url
            if is_same_page(url, response.url):
                books_without_own_page.append(book)
            else:
                yield from self.follow(response, url)
        if (
            may_be_book_page
            and len(books_without_own_page) == 1
            and any(books_without_own_page[0] is book for book in page.books)
        ):
            yield build_scraped_book(response, books_without_own_page[0])
        else:
            for book, key in zip(books_without_own_page, build_keys(books_without_own_page, response.url), strict=True):
                yield build_scraped_book(response, book, key=key)
        for link in page.links:
            yield from self.follow(response, link)

    def has_page_elsewhere(self, response: HtmlResponse, book: BookNode) -> bool:
        """Returns True if the book has another page on this site."""
        url = response.urljoin(book.url) if book.url else response.url
        canonical = response.xpath('//link[@rel="canonical"]/@href').get("")
        redirects = response.request.meta.get("redirect_urls", ()) if response.request else ()
        own_urls = (response.url, response.urljoin(canonical.strip()), *redirects)
        host = urlsplit(url).hostname or ""
        is_on_site = any(host == domain or host.endswith(f".{domain}") for domain in self.allowed_domains)
        return is_on_site and not any(is_same_page(url, own_url) for own_url in own_urls)

    def parse_plain_link(self, response: HtmlResponse) -> SpiderOutput:
        """Parses a page that a list page without structured data links to."""
        books = extract_books(response).books
        if len(books) == 1:
            yield build_scraped_book(response, books[0])

    def follow(self, response: HtmlResponse, href: str, *, plain_link: bool = False) -> Iterator[Request]:
        url = remove_fragment(response.urljoin(href.strip()))
        if url.startswith(("http://", "https://")) and url != remove_fragment(response.url):
            yield self.request(url, self.parse_plain_link if plain_link else self.parse_linked)


def extract_books(response: HtmlResponse) -> PageBooks:
    """Returns the books from the first syntax that contains books."""
    return next((page for roots in parse_nodes_by_syntax(response) if (page := read_page(roots))), PageBooks())


def find_next_pages(response: HtmlResponse) -> list[str]:
    hrefs = response.xpath('//*[self::a or self::link][contains(concat(" ", @rel, " "), " next ")]/@href').getall()
    urls = (response.urljoin(href.strip()) for href in hrefs)
    return [url for url in dict.fromkeys(urls) if url.startswith(("http://", "https://"))]


def build_scraped_book(response: HtmlResponse, book: BookNode, *, key: str | None = None) -> ScrapedBook:
    """`key` identifies a book that has no identifier and shares its page with other books."""
    payload = build_payload(book)
    if key is not None:
        payload.setdefault("key", key)
    image = payload.get("image_url")
    if isinstance(image, str):
        payload["image_url"] = response.urljoin(image)
    return ScrapedBook(response.url, payload)


def remove_fragment(url: str) -> str:
    return url.partition("#")[0]

"""Any site that describes its books with schema.org data: its lists are followed to their books and to their next page.

A page that describes one book is that book's page and leads nowhere; where a crawl begins, only if no other page
follows it and the book has none elsewhere on the site. Any other page is a list: its books are followed where they have
a page, and published from the list where they have none. A list without any such data is searched for links, but what
they lead to only counts when it is a book's page, so that a crawl does not wander over the whole site.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.http import HtmlResponse

from bookwheel_scraper.extraction.listed_books import keys_of, same_page
from bookwheel_scraper.extraction.schema_books import BookNode, PageBooks, book_payload, read_page
from bookwheel_scraper.extraction.structured_data import page_syntaxes
from bookwheel_scraper.publishing.envelopes import ScrapedBook
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput

_MENTIONS = "ancestor::nav or ancestor::header or ancestor::footer or contains(concat(' ', @rel, ' '), ' nofollow ')"
_LINKS = f"//a[@href][not({_MENTIONS})]/@href"


class SchemaOrgSpider(BookSpider):
    name = "schema_org"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        page = books_of(response)
        is_list_of_one = len(page.books) == 1 and self.is_elsewhere(response, page.books[0])
        may_be_of_a_book = not is_list_of_one and not next_pages(response)
        return self.parse_books(response, page, may_be_of_a_book=may_be_of_a_book)

    def parse_next(self, response: HtmlResponse) -> SpiderOutput:
        """A page that follows a list: a list too, if only of one book."""
        return self.parse_books(response, books_of(response), may_be_of_a_book=False)

    def parse_linked(self, response: HtmlResponse) -> SpiderOutput:
        """A page that a list led to: a book's as a rule, whatever address it gives and whichever page follows it."""
        return self.parse_books(response, books_of(response), may_be_of_a_book=True)

    def parse_books(self, response: HtmlResponse, page: PageBooks, *, may_be_of_a_book: bool) -> SpiderOutput:
        if len(page.books) == 1 and may_be_of_a_book:
            yield scraped(response, page.books[0])
            return
        for url in next_pages(response):
            yield self.request(url, self.parse_next)
        if page:
            yield from self.parse_list(response, page, may_be_of_a_book=may_be_of_a_book)
        else:
            for href in response.xpath(_LINKS).getall():
                yield from self.follow(response, href, leaf=True)

    def parse_list(self, response: HtmlResponse, page: PageBooks, *, may_be_of_a_book: bool) -> SpiderOutput:
        """`may_be_of_a_book`, beside which others are shown: the only one of them that has no other page."""
        here: list[BookNode] = []
        for book in (*page.books, *page.listed):
            url = response.urljoin(book.url) if book.url else response.url
            if same_page(url, response.url):
                here.append(book)
            else:
                yield from self.follow(response, url)
        if may_be_of_a_book and len(here) == 1 and any(here[0] is book for book in page.books):
            yield scraped(response, here[0])
        else:
            for book, key in zip(here, keys_of(here, response.url), strict=True):
                yield scraped(response, book, key=key)
        for link in page.links:
            yield from self.follow(response, link)

    def is_elsewhere(self, response: HtmlResponse, book: BookNode) -> bool:
        """Whether the book's own page is another one of this site."""
        url = response.urljoin(book.url) if book.url else response.url
        canonical = response.xpath('//link[@rel="canonical"]/@href').get("")
        led_here = response.request.meta.get("redirect_urls", ()) if response.request else ()
        own = (response.url, response.urljoin(canonical.strip()), *led_here)
        host = urlsplit(url).hostname or ""
        is_of_site = any(host == domain or host.endswith(f".{domain}") for domain in self.allowed_domains)
        return is_of_site and not any(same_page(url, address) for address in own)

    def parse_leaf(self, response: HtmlResponse) -> SpiderOutput:
        """A page that a plain link led to."""
        books = books_of(response).books
        if len(books) == 1:
            yield scraped(response, books[0])

    def follow(self, response: HtmlResponse, href: str, *, leaf: bool = False) -> Iterator[Request]:
        url = without_fragment(response.urljoin(href.strip()))
        if url.startswith(("http://", "https://")) and url != without_fragment(response.url):
            yield self.request(url, self.parse_leaf if leaf else self.parse_linked)


def books_of(response: HtmlResponse) -> PageBooks:
    """What the first syntax that speaks of books says."""
    return next((page for roots in page_syntaxes(response) if (page := read_page(roots))), PageBooks())


def next_pages(response: HtmlResponse) -> list[str]:
    hrefs = response.xpath('//*[self::a or self::link][contains(concat(" ", @rel, " "), " next ")]/@href').getall()
    urls = (response.urljoin(href.strip()) for href in hrefs)
    return [url for url in dict.fromkeys(urls) if url.startswith(("http://", "https://"))]


def scraped(response: HtmlResponse, book: BookNode, *, key: str | None = None) -> ScrapedBook:
    """`key` tells the book from others of the same page where it has no number of its own."""
    payload = book_payload(book)
    if key is not None:
        payload.setdefault("key", key)
    image = payload.get("image_url")
    if isinstance(image, str):
        payload["image_url"] = response.urljoin(image)
    return ScrapedBook(response.url, payload)


def without_fragment(url: str) -> str:
    return url.partition("#")[0]

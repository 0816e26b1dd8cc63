"""Any site that describes its books with schema.org data: its lists are followed to their books and to their next page.

A page that describes one book is a book's page and leads nowhere. Any other page is a list: its books are followed
where they have a page, and published from the list where they have none. A list without any such data is searched for
links, but what they lead to only counts when it is a book's page, so that a crawl does not wander over the whole site.
"""

from collections.abc import Iterator

from scrapy import Request
from scrapy.http import HtmlResponse

from bookwheel_scraper.envelopes import ScrapedBook
from bookwheel_scraper.schema_books import BookNode, PageBooks, book_payload, read_page
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput
from bookwheel_scraper.structured_data import page_syntaxes

_MENTIONS = "ancestor::nav or ancestor::header or ancestor::footer or contains(concat(' ', @rel, ' '), ' nofollow ')"
_LINKS = f"//a[@href][not({_MENTIONS})]/@href"


class SchemaOrgSpider(BookSpider):
    name = "schema_org"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        return self.parse_page(response)

    def parse_page(self, response: HtmlResponse) -> SpiderOutput:
        page = books_of(response)
        if len(page.books) == 1:
            yield scraped(response, page.books[0])
            return
        for url in next_pages(response):
            yield self.request(url, self.parse_page)
        if page:
            yield from self.parse_list(response, page)
        else:
            for href in response.xpath(_LINKS).getall():
                yield from self.follow(response, href, leaf=True)

    def parse_list(self, response: HtmlResponse, page: PageBooks) -> SpiderOutput:
        for book in (*page.books, *page.listed):
            url = response.urljoin(book.url) if book.url else response.url
            if without_fragment(url) == without_fragment(response.url):
                yield scraped(response, book)
            else:
                yield from self.follow(response, url)
        for link in page.links:
            yield from self.follow(response, link)

    def parse_leaf(self, response: HtmlResponse) -> SpiderOutput:
        """A page that a plain link led to."""
        books = books_of(response).books
        if len(books) == 1:
            yield scraped(response, books[0])

    def follow(self, response: HtmlResponse, href: str, *, leaf: bool = False) -> Iterator[Request]:
        url = without_fragment(response.urljoin(href.strip()))
        if url.startswith(("http://", "https://")) and url != without_fragment(response.url):
            yield self.request(url, self.parse_leaf if leaf else self.parse_page)


def books_of(response: HtmlResponse) -> PageBooks:
    """What the first syntax that speaks of books says."""
    return next((page for roots in page_syntaxes(response) if (page := read_page(roots))), PageBooks())


def next_pages(response: HtmlResponse) -> list[str]:
    hrefs = response.xpath('//*[self::a or self::link][contains(concat(" ", @rel, " "), " next ")]/@href').getall()
    urls = (response.urljoin(href.strip()) for href in hrefs)
    return [url for url in dict.fromkeys(urls) if url.startswith(("http://", "https://"))]


def scraped(response: HtmlResponse, book: BookNode) -> ScrapedBook:
    payload = book_payload(book)
    image = payload.get("image_url")
    if isinstance(image, str):
        payload["image_url"] = response.urljoin(image)
    return ScrapedBook(response.url, payload)


def without_fragment(url: str) -> str:
    return url.partition("#")[0]

"""Crawls shops with the markup of books.toscrape.com: list pages with links to product pages."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bookwheel_contracts import PageOutcome
from bookwheel_extraction.pages import ExtractedBook, FieldFault, FieldValue, Origin, Outcome, PageResult, Syntax
from bookwheel_extraction.values import Parsed
from bookwheel_extraction.values.availability import parse_availability
from bookwheel_extraction.values.categories import parse_categories
from bookwheel_extraction.values.counts import parse_count
from bookwheel_extraction.values.prices import parse_price
from bookwheel_extraction.values.ratings import parse_rating
from bookwheel_extraction.values.text import parse_prose, parse_text
from bookwheel_extraction.values.urls import normalize_url
from scrapy.http import HtmlResponse

from bookwheel_scraper.publishing.item_messages import Payload, ScrapedBook, build_page
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput


class ToScrapeSpider(BookSpider):
    name = "toscrape"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        """The start page can be a list page or a product page."""
        return self.parse_product(response) if _is_product(response) else self.parse_list(response)

    def read_page(self, response: HtmlResponse) -> PageResult:
        if _is_product(response):
            return read_product(response)
        outcome = Outcome.LIST if response.css("article.product_pod") else Outcome.OTHER
        return PageResult(outcome, response.url, reason=None if outcome is Outcome.LIST else "no book data")

    def parse_list(self, response: HtmlResponse) -> SpiderOutput:
        is_list = bool(response.css("article.product_pod"))
        outcome = PageOutcome.LIST if is_list else PageOutcome.OTHER
        yield build_page(response.url, outcome, reason=None if is_list else "no book data")
        # The queue is first in, first out. The next list is requested before the products of this list, so the
        # downloader does not pause at the end of a list. The queue never has the products of more than two lists.
        for href in response.css("ul.pager li.next a::attr(href)").getall()[:1]:
            yield self.request(response.urljoin(href), self.parse_list)
        for href in dict.fromkeys(response.css("article.product_pod h3 a::attr(href)").getall()):
            # not filtered: the duplicate filter would keep every product URL in memory
            yield self.request(response.urljoin(href), self.parse_product, filtered=False)

    def parse_product(self, response: HtmlResponse) -> SpiderOutput:
        payload = build_product_payload(response)
        if "title" in payload:
            yield build_page(response.url, PageOutcome.BOOK)
        else:
            yield build_page(response.url, PageOutcome.UNREADABLE, reason="a book page without a title")
        yield ScrapedBook(response.url, payload)


def build_product_payload(response: HtmlResponse) -> Payload:
    """Builds the payload of a product page. Fields without a value are left out."""
    image = response.css("div.item.active img::attr(src)").get()
    fields = {
        "key": _find_table_cell(response, "UPC"),
        "title": response.css("div.product_main h1").xpath("string()").get(),
        "category": response.css("ul.breadcrumb li:nth-last-child(2) a").xpath("string()").get(),
        "description": response.css("#product_description + p").xpath("string()").get(),
        "price": response.css("div.product_main p.price_color").xpath("string()").get(),
        "availability": _find_table_cell(response, "Availability"),
        "rating": response.css("div.product_main p.star-rating").re_first(r'class="star-rating\s+([^"\s]+)'),
        "rating_count": _find_table_cell(response, "Number of reviews"),
        "image_url": response.urljoin(image) if image else None,
    }
    return {name: text for name, text in fields.items() if text is not None and text.strip()}


def _is_product(response: HtmlResponse) -> bool:
    return bool(response.css("div.product_main"))


_PARSERS: Mapping[str, Callable[[object], Parsed[Any]]] = MappingProxyType(
    {
        "key": parse_text,
        "title": parse_text,
        "category": parse_categories,
        "description": parse_prose,
        "price": parse_price,
        "availability": parse_availability,
        "rating": parse_rating,
        "rating_count": parse_count,
        "image_url": normalize_url,
    }
)


def read_product(response: HtmlResponse) -> PageResult:
    """Reads the book of a product page with the cleaned value of each field."""
    fields: dict[str, FieldValue] = {}
    faults: list[FieldFault] = []
    for name, text in build_product_payload(response).items():
        parsed, origin = _PARSERS[name](text), Origin(Syntax.HTML, name)
        if parsed.fault is not None:
            faults.append(FieldFault(name, parsed.fault.code, parsed.fault.text, origin))
        elif parsed.value is not None:
            fields[name] = FieldValue(parsed.value, (str(text),), origin)
    key = fields.get("key")
    book = ExtractedBook(response.url, fields, key=key.value if key else None, faults=tuple(faults))
    return PageResult(
        Outcome.BOOK, response.url, books=(book,), syntaxes=(Syntax.HTML,), choice="the markup of books.toscrape.com"
    )


def _find_table_cell(response: HtmlResponse, heading: str) -> str | None:
    return response.xpath(
        'string(//table[contains(@class, "table-striped")]//tr[normalize-space(th) = $heading]/td)', heading=heading
    ).get()

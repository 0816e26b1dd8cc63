"""Shops with the markup of books.toscrape.com: lists of 20 products, a page for each."""

from scrapy.http import HtmlResponse

from bookwheel_scraper.publishing.envelopes import Payload, ScrapedBook
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput


class ToScrapeSpider(BookSpider):
    name = "toscrape"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        """A list, or a product's page."""
        return self.parse_product(response) if response.css("div.product_main") else self.parse_list(response)

    def parse_list(self, response: HtmlResponse) -> SpiderOutput:
        # The next list goes first: the queue is first in, first out, so it is fetched beside this list's products,
        # and never more than one list ahead of them.
        for href in response.css("ul.pager li.next a::attr(href)").getall()[:1]:
            yield self.request(response.urljoin(href), self.parse_list)
        for href in dict.fromkeys(response.css("article.product_pod h3 a::attr(href)").getall()):
            # unfiltered: a set of all products seen would grow with the shop
            yield self.request(response.urljoin(href), self.parse_product, filtered=False)

    def parse_product(self, response: HtmlResponse) -> SpiderOutput:
        yield ScrapedBook(response.url, product_payload(response))


def product_payload(response: HtmlResponse) -> Payload:
    """The payload of a product page; what the page does not have is absent."""
    image = response.css("div.item.active img::attr(src)").get()
    found = {
        "key": _cell(response, "UPC"),
        "title": response.css("div.product_main h1").xpath("string()").get(),
        "category": response.css("ul.breadcrumb li:nth-last-child(2) a").xpath("string()").get(),
        "description": response.css("#product_description + p").xpath("string()").get(),
        "price": response.css("div.product_main p.price_color").xpath("string()").get(),
        "availability": _cell(response, "Availability"),
        "rating": response.css("div.product_main p.star-rating").re_first(r'class="star-rating\s+([^"\s]+)'),
        "rating_count": _cell(response, "Number of reviews"),
        "image_url": response.urljoin(image) if image else None,
    }
    return {name: text for name, text in found.items() if text is not None and text.strip()}


def _cell(response: HtmlResponse, heading: str) -> str | None:
    return response.xpath(
        'string(//table[contains(@class, "table-striped")]//tr[normalize-space(th) = $heading]/td)', heading=heading
    ).get()

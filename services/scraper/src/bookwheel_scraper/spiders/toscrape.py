"""Crawls shops with the markup of books.toscrape.com: list pages with links to product pages."""

from scrapy.http import HtmlResponse

from bookwheel_scraper.publishing.item_messages import Payload, ScrapedBook
from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput


class ToScrapeSpider(BookSpider):
    name = "toscrape"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        """The start page can be a list page or a product page."""
        return self.parse_product(response) if response.css("div.product_main") else self.parse_list(response)

    def parse_list(self, response: HtmlResponse) -> SpiderOutput:
        # The queue is first in, first out. The next list is requested before the products of this list, so the
        # downloader does not pause at the end of a list. The queue never has the products of more than two lists.
        for href in response.css("ul.pager li.next a::attr(href)").getall()[:1]:
            yield self.request(response.urljoin(href), self.parse_list)
        for href in dict.fromkeys(response.css("article.product_pod h3 a::attr(href)").getall()):
            # not filtered: the duplicate filter would keep every product URL in memory
            yield self.request(response.urljoin(href), self.parse_product, filtered=False)

    def parse_product(self, response: HtmlResponse) -> SpiderOutput:
        yield ScrapedBook(response.url, build_product_payload(response))


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


def _find_table_cell(response: HtmlResponse, heading: str) -> str | None:
    return response.xpath(
        'string(//table[contains(@class, "table-striped")]//tr[normalize-space(th) = $heading]/td)', heading=heading
    ).get()

"""Any site that describes its books with schema.org data."""

from scrapy.http import HtmlResponse

from bookwheel_scraper.spiders.book_spider import BookSpider, SpiderOutput


class SchemaOrgSpider(BookSpider):
    name = "schema_org"

    def parse_start(self, response: HtmlResponse) -> SpiderOutput:
        yield from ()

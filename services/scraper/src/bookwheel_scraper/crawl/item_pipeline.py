"""Scrapy's item pipeline: hands each book to the run's publisher, which applies backpressure."""

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from bookwheel_scraper.crawl.context import CrawlContext, context_of
from bookwheel_scraper.publishing.envelopes import ScrapedBook
from bookwheel_scraper.publishing.run_attempt import RunTakenOverError


class PublishingPipeline:
    def __init__(self, context: CrawlContext) -> None:
        self._context = context

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "PublishingPipeline":
        return cls(context_of(crawler))

    async def process_item(self, item: ScrapedBook) -> ScrapedBook:
        try:
            await self._context.publisher.put(item)
        except RunTakenOverError as error:
            self._context.stop.request("another process has taken the run over")
            raise DropItem(str(error)) from error
        return item

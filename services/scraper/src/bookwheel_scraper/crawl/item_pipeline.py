"""The item pipeline of Scrapy: puts each book into the buffer of the run's publisher."""

from scrapy.crawler import Crawler
from scrapy.exceptions import DropItem

from bookwheel_scraper.crawl.context import CrawlContext, get_context
from bookwheel_scraper.publishing.item_messages import ScrapedBook
from bookwheel_scraper.publishing.run_attempt import RunTakenOverError


class PublishingPipeline:
    def __init__(self, context: CrawlContext) -> None:
        self._context = context

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "PublishingPipeline":
        return cls(get_context(crawler))

    async def process_item(self, item: ScrapedBook) -> ScrapedBook:
        try:
            await self._context.publisher.put(item)
        except RunTakenOverError as error:
            self._context.stop_signal.request("another process took over the run")
            raise DropItem(str(error)) from error
        return item

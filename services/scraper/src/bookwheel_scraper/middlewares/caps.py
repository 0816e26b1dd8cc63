"""Ends a run at its caps of pages and bytes: a request beyond them is not made.

They are the run's, over all its attempts, but for what a killed attempt had not yet recorded: a second's at most.
"""

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from bookwheel_scraper.crawl.context import CrawlContext, context_of
from bookwheel_scraper.middlewares.same_site import RequestSkippedError


class CapsMiddleware:
    """Stands next to the network: counts each request, its retries and redirects, and bytes before decompression."""

    def __init__(self, context: CrawlContext) -> None:
        self._context = context
        self._caps = context.source.caps
        self._spent = context.publisher

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "CapsMiddleware":
        return cls(context_of(crawler))

    def process_request(self, request: Request) -> None:
        if request.callback is NO_CALLBACK:  # robots.txt
            return
        if self._spent.requests >= self._caps.pages:
            self._end(f"the cap of {self._caps.pages} pages is reached")
        if self._spent.bytes >= self._caps.total_bytes:
            self._end(f"the cap of {self._caps.total_bytes} bytes is reached")
        self._spent.count_request()

    def process_response(self, request: Request, response: Response) -> Response:  # noqa: ARG002 - Scrapy's interface
        self._spent.count_bytes(len(response.body))
        return response

    def _end(self, reason: str) -> None:
        self._context.stop.wish(reason)
        raise RequestSkippedError(reason)

"""Stops a run at its caps of pages and bytes.

Caps count all attempts of a run. At most one second of a killed attempt is not counted.
"""

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from bookwheel_scraper.crawl.context import CrawlContext, context_of
from bookwheel_scraper.middlewares.same_site import RequestSkippedError


class CapsMiddleware:
    """Runs next to the network: counts every request with its retries and redirects, and bytes before decompression."""

    def __init__(self, context: CrawlContext) -> None:
        self._context = context
        self._caps = context.source.caps
        self._publisher = context.publisher

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "CapsMiddleware":
        return cls(context_of(crawler))

    def process_request(self, request: Request) -> None:
        if request.callback is NO_CALLBACK:  # robots.txt
            return
        if self._publisher.requests >= self._caps.pages:
            self._stop(f"the cap of {self._caps.pages} pages is reached")
        if self._publisher.bytes >= self._caps.total_bytes:
            self._stop(f"the cap of {self._caps.total_bytes} bytes is reached")
        self._publisher.count_request()

    def process_response(self, request: Request, response: Response) -> Response:  # noqa: ARG002 - Scrapy's interface
        self._publisher.count_bytes(len(response.body))
        return response

    def _stop(self, reason: str) -> None:
        self._context.stop.request(reason)
        raise RequestSkippedError(reason)

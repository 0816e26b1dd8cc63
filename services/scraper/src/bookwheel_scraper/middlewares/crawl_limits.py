"""Stops a run when it reaches its limit of pages or bytes.

The limits apply to all attempts of a run. The last second of a killed attempt may not be counted.
"""

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from bookwheel_scraper.crawl.context import CrawlContext, get_context
from bookwheel_scraper.middlewares.same_site import RequestSkippedError


class CrawlLimitsMiddleware:
    """Counts all requests, including retries and redirects, and the bytes of responses before decompression."""

    def __init__(self, context: CrawlContext) -> None:
        self._context = context
        self._limits = context.source.caps
        self._publisher = context.publisher

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "CrawlLimitsMiddleware":
        return cls(get_context(crawler))

    def process_request(self, request: Request) -> None:
        if request.callback is NO_CALLBACK:  # robots.txt
            return
        if self._publisher.request_count >= self._limits.pages:
            self._stop_crawl(f"the limit of {self._limits.pages} pages is reached")
        if self._publisher.byte_count >= self._limits.total_bytes:
            self._stop_crawl(f"the limit of {self._limits.total_bytes} bytes is reached")
        self._publisher.count_request()

    def process_response(self, request: Request, response: Response) -> Response:  # noqa: ARG002 - Scrapy's interface
        self._publisher.add_bytes(len(response.body))
        return response

    def _stop_crawl(self, reason: str) -> None:
        self._context.stop_signal.request(reason)
        raise RequestSkippedError(reason)

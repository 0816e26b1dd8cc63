"""Retries failed pages with exponential backoff and honours `Retry-After`."""

import time
from datetime import UTC, datetime
from urllib.parse import urlsplit

from bookwheel_runtime.retries import backoff_seconds, retry_after_seconds
from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import Response
from scrapy.utils.misc import load_object
from scrapy.utils.response import response_status_message

from bookwheel_scraper.crawl.context import context_of
from bookwheel_scraper.middlewares.same_site import RequestSkippedError

MAX_RETRY_AFTER = 120.0
"""Seconds. A page whose shop asks for a longer wait is not retried in this run."""
_FIRST_BACKOFF, _MAX_BACKOFF = 0.7, 40.0


class RetryMiddleware:
    """`Retry-After` delays all requests to that host."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._stop = context_of(crawler).stop
        self._blocked_hosts = context_of(crawler).blocked_hosts
        self._statuses = {int(status) for status in crawler.settings.getlist("RETRY_HTTP_CODES")}
        types = crawler.settings.getlist("RETRY_EXCEPTIONS")
        self._errors = tuple(load_object(kind) if isinstance(kind, str) else kind for kind in types)
        self._resume_at: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RetryMiddleware":
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        host = urlsplit(request.url).netloc
        while (seconds := self._resume_at.get(host, 0.0) - time.monotonic()) > 0:
            await self._sleep(seconds)

    async def process_response(self, request: Request, response: Response) -> Response | Request:
        if response.status not in self._statuses:
            return response
        header = response.headers.get("Retry-After") or b""
        retry_after = retry_after_seconds(header.decode("latin-1"), datetime.now(UTC))
        if retry_after is not None and retry_after > MAX_RETRY_AFTER:
            return response
        retry = self._retry_request(request, response_status_message(response.status))
        if retry is None:
            return response
        if retry_after is not None:
            self._resume_at[urlsplit(request.url).netloc] = time.monotonic() + retry_after
        await self._sleep(_backoff(retry) if retry_after is None else retry_after)
        return retry

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if not isinstance(exception, self._errors) or urlsplit(request.url).hostname in self._blocked_hosts:
            return None
        retry = self._retry_request(request, exception)
        if retry is not None:
            await self._sleep(_backoff(retry))
        return retry

    def _retry_request(self, request: Request, reason: str | Exception) -> Request | None:
        """A copy of the request with a higher retry count; None when the retries are used up."""
        spider = self._crawler.spider
        return get_retry_request(request, spider=spider, reason=reason) if spider is not None else None

    async def _sleep(self, seconds: float) -> None:
        if await self._stop.sleep(seconds):
            raise RequestSkippedError("the crawl is stopping")


def _backoff(request: Request) -> float:
    return backoff_seconds(request.meta["retry_times"], first=_FIRST_BACKOFF, longest=_MAX_BACKOFF)

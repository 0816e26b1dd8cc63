"""Retries failed requests with exponential backoff and respects `Retry-After`."""

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

from bookwheel_scraper.crawl.context import get_context
from bookwheel_scraper.middlewares.same_site import RequestSkippedError

MAX_RETRY_AFTER_SECONDS = 120.0
"""A page with a longer `Retry-After` is not retried in this run."""
_FIRST_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.7, 40.0


class RetryMiddleware:
    """Retries failed requests. A `Retry-After` header delays all requests to the host that sent it."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._stop_signal = get_context(crawler).stop_signal
        self._blocked_hosts = get_context(crawler).blocked_hosts
        self._statuses = {int(status) for status in crawler.settings.getlist("RETRY_HTTP_CODES")}
        exception_types = crawler.settings.getlist("RETRY_EXCEPTIONS")
        self._exception_types = tuple(
            load_object(exception_type) if isinstance(exception_type, str) else exception_type
            for exception_type in exception_types
        )
        self._resume_at: dict[str, float] = {}  # by host and port

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RetryMiddleware":
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        host_and_port = urlsplit(request.url).netloc
        while (seconds := self._resume_at.get(host_and_port, 0.0) - time.monotonic()) > 0:
            await self._sleep(seconds)

    async def process_response(self, request: Request, response: Response) -> Response | Request:
        if response.status not in self._statuses:
            return response
        header = response.headers.get("Retry-After") or b""
        retry_after = retry_after_seconds(header.decode("latin-1"), datetime.now(UTC))
        if retry_after is not None and retry_after > MAX_RETRY_AFTER_SECONDS:
            return response
        retry = self._build_retry(request, response_status_message(response.status))
        if retry is None:
            return response
        if retry_after is not None:
            self._resume_at[urlsplit(request.url).netloc] = time.monotonic() + retry_after
        await self._sleep(_get_backoff_seconds(retry) if retry_after is None else retry_after)
        return retry

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if not isinstance(exception, self._exception_types) or urlsplit(request.url).hostname in self._blocked_hosts:
            return None
        retry = self._build_retry(request, exception)
        if retry is not None:
            await self._sleep(_get_backoff_seconds(retry))
        return retry

    def _build_retry(self, request: Request, reason: str | Exception) -> Request | None:
        """Returns a copy of the request with an increased retry count; None if the maximum is reached."""
        spider = self._crawler.spider
        return get_retry_request(request, spider=spider, reason=reason) if spider is not None else None

    async def _sleep(self, seconds: float) -> None:
        if await self._stop_signal.wait(seconds):
            raise RequestSkippedError("the crawl is stopping")


def _get_backoff_seconds(request: Request) -> float:
    return backoff_seconds(request.meta["retry_times"], first=_FIRST_BACKOFF_SECONDS, longest=_MAX_BACKOFF_SECONDS)

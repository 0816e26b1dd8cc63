"""Tries a failed page again, later each time, and no sooner than the shop asks."""

import random
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.http import Response
from scrapy.utils.misc import load_object
from scrapy.utils.response import response_status_message

from bookwheel_scraper.crawl.context import context_of
from bookwheel_scraper.middlewares.same_site import RequestSkippedError

LONGEST_WAIT = 120.0
"""Seconds. A shop that asks for a longer wait is not asked again in this run."""


def backoff_seconds(attempt: int) -> float:
    """About 0.5 s before the first repetition, doubling to 30 s; jitter keeps requests apart that failed together."""
    return float(min(30.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.5))  # noqa: S311 - no secret


def retry_after_seconds(header: bytes | None, now: datetime) -> float | None:
    """The wait that a `Retry-After` header asks for, in seconds or as a date; None where it is absent or malformed."""
    text = (header or b"").decode("latin-1").strip()
    if text.isdecimal() and text.isascii():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds())


class RetryMiddleware:
    """A wait that a shop asks for holds back all requests to that host."""

    def __init__(self, crawler: Crawler) -> None:
        self._crawler = crawler
        self._stop = context_of(crawler).stop
        self._refused_hosts = context_of(crawler).refused_hosts
        self._statuses = {int(status) for status in crawler.settings.getlist("RETRY_HTTP_CODES")}
        kinds = crawler.settings.getlist("RETRY_EXCEPTIONS")
        self._errors = tuple(load_object(kind) if isinstance(kind, str) else kind for kind in kinds)
        self._resume_at: dict[str, float] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> "RetryMiddleware":
        return cls(crawler)

    async def process_request(self, request: Request) -> None:
        host = urlsplit(request.url).netloc
        while (wait := self._resume_at.get(host, 0.0) - time.monotonic()) > 0:
            await self._sleep(wait)

    async def process_response(self, request: Request, response: Response) -> Response | Request:
        if response.status not in self._statuses:
            return response
        asked = retry_after_seconds(response.headers.get("Retry-After"), datetime.now(UTC))
        if asked is not None and asked > LONGEST_WAIT:
            return response
        again = self._again(request, response_status_message(response.status))
        if again is None:
            return response
        if asked is not None:
            self._resume_at[urlsplit(request.url).netloc] = time.monotonic() + asked
        await self._sleep(backoff_seconds(again.meta["retry_times"]) if asked is None else asked)
        return again

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        if not isinstance(exception, self._errors) or urlsplit(request.url).hostname in self._refused_hosts:
            return None
        again = self._again(request, exception)
        if again is not None:
            await self._sleep(backoff_seconds(again.meta["retry_times"]))
        return again

    def _again(self, request: Request, reason: str | Exception) -> Request | None:
        spider = self._crawler.spider
        return get_retry_request(request, spider=spider, reason=reason) if spider is not None else None

    async def _sleep(self, seconds: float) -> None:
        if await self._stop.sleep(seconds):
            raise RequestSkippedError("the crawl ends")

"""One attempt of a run, from the crawl request to the published finish message."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from bookwheel_contracts.crawls import CrawlRequest, RunFinished
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.streams import connect_redis
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError

from bookwheel_scraper.crawl.context import CrawlContext, StopSignal
from bookwheel_scraper.crawl.run_events import ExitStatus, RunMessages, build_outcome
from bookwheel_scraper.crawl.scrapy_runner import crawl
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunTakenOverError
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source, WebUrl, load_sources

logger = get_logger(__name__)
T = TypeVar("T")


class InvalidCrawlRequestError(Exception):
    """The crawl request is invalid; the error message is stored as the reason for the run's failure."""


class _StopDeadlineError(Exception):
    """The scraper was stopped, and Redis is unavailable for longer than `scraper_stop_seconds`."""


def resolve_request(request: CrawlRequest, sources: dict[str, Source]) -> tuple[Source, tuple[str, ...]]:
    """Returns the source and the start URLs of the request. Raises InvalidCrawlRequestError."""
    source = sources.get(request.source)
    if source is None:
        raise InvalidCrawlRequestError(f"unknown source {request.source!r}; available sources: {', '.join(sources)}")
    if request.start_url is None:
        if source.requires_start_url:
            raise InvalidCrawlRequestError(f"start_url is missing: the source {source.name!r} requires one")
        return source, source.start_urls
    return source, (check_url(request.start_url),)


def check_url(url: str) -> str:
    """Returns the URL. Raises InvalidCrawlRequestError if it is not an http or https URL with a host."""
    try:
        return TypeAdapter(WebUrl).validate_python(url)
    except ValidationError:
        raise InvalidCrawlRequestError("start_url must be an http or https URL") from None


class CrawlRun:
    """Runs one attempt: publishes the start message, crawls the source, and publishes the finish message."""

    def __init__(
        self, request: CrawlRequest, settings: ScraperSettings, stop_signal: StopSignal, traceparent: str
    ) -> None:
        self._request = request
        self._settings = settings
        self._stop_signal = stop_signal
        self._traceparent = traceparent
        self._messages = RunMessages(request, traceparent)
        self._attempt = RunAttempt(connect_redis(settings.redis_url), request.run_id)
        self._stop_deadline: float | None = None

    async def run(self) -> ExitStatus:
        try:
            source, start_urls = resolve_request(self._request, load_sources(self._settings))
            await self._crawl(source, start_urls)
        except InvalidCrawlRequestError as error:
            await self._reject(str(error))
        except RunTakenOverError as error:
            logger.warning("run taken over", run_id=self._request.run_id, reason=str(error))
            return ExitStatus.TAKEN_OVER
        except _StopDeadlineError:
            logger.warning("run stopped before its finish message", run_id=self._request.run_id)
            return ExitStatus.UNFINISHED
        return ExitStatus.FINISHED

    async def _reject(self, reason: str) -> None:
        logger.warning("crawl request rejected", run_id=self._request.run_id, reason=reason)
        start_message = self._messages.build_start(self._request.start_url or "")
        counts = await self._retry_redis(lambda: self._attempt.start(start_message))
        abort_message = self._messages.build_abort(counts, reason)
        await self._retry_redis(lambda: self._attempt.finish(abort_message))

    async def _crawl(self, source: Source, start_urls: tuple[str, ...]) -> None:
        run_id = self._request.run_id
        start_message = self._messages.build_start(
            start_urls[0], source, is_whole_source=start_urls == source.start_urls
        )
        counts = await self._retry_redis(lambda: self._attempt.start(start_message))
        if counts.cancelled or counts.finished:  # cancelled before this attempt started
            await self._finish(self._messages.build_cancelled(counts))
            return
        logger.info("crawl started", run_id=run_id, source=source.name, attempt=counts.attempt)
        site = source.undeclared_site(start_urls[0])
        item_messages = ItemMessageBuilder(run_id=run_id, source=source.name, traceparent=self._traceparent, site=site)
        limits = PublishingLimits(max_stream_length=self._settings.scraper_stream_limit)
        publisher = Publisher(self._attempt, item_messages, counts, limits)
        publisher.start()
        context = CrawlContext(source, start_urls, publisher, self._allows_private_addresses(source), self._stop_signal)
        await crawl(context, self._settings)
        await self._drain(publisher)

        counts = publisher.counts()
        if self._stop_signal.is_cancelled:
            await self._finish(self._messages.build_cancelled(counts))
            return
        outcome = build_outcome(
            stop_reason=self._stop_signal.reason,
            published=counts.published,
            errors=publisher.attempt_errors,
            first_error=context.first_error,
        )
        await self._finish(self._messages.build_finish(counts, outcome))

    async def _finish(self, message: RunFinished) -> None:
        await self._retry_redis(lambda: self._attempt.finish(message))
        fields = message.model_dump(include={"state", "reason", "scraped", "pages", "errors"}, mode="json")
        logger.info("crawl finished", run_id=self._request.run_id, **fields)

    def _allows_private_addresses(self, source: Source) -> bool:
        source_allows_private = source.private_addresses and self._request.start_url is None
        return source_allows_private or self._settings.scraper_private_addresses == "allow"

    async def _drain(self, publisher: Publisher) -> None:
        """Waits until all items are published. Raises RunTakenOverError, _StopDeadlineError."""
        while not await asyncio.to_thread(publisher.close, seconds=0.5):
            if publisher.failure is not None:
                raise publisher.failure
            self._check_stop_deadline()

    async def _retry_redis(self, action: Callable[[], T]) -> T:
        """Calls `action` and retries while Redis is unavailable. Raises _StopDeadlineError."""
        while True:
            try:
                return await asyncio.to_thread(action)
            except RedisError as error:
                logger.warning("redis unavailable", error=str(error))
            self._check_stop_deadline()
            await asyncio.sleep(0.5)

    def _check_stop_deadline(self) -> None:
        """Raises _StopDeadlineError after `scraper_stop_seconds` if the wait for Redis is limited.

        The time starts with the first check after the stop request.
        """
        if not self._stop_signal.limit_wait_for_redis:
            return
        if self._stop_deadline is None:
            self._stop_deadline = time.monotonic() + self._settings.scraper_stop_seconds
        if time.monotonic() > self._stop_deadline:
            raise _StopDeadlineError

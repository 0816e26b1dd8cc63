"""One attempt of a run, from its request to its published end."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

from bookwheel_contracts.crawls import CrawlRequest
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.streams import connect_redis
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError

from bookwheel_scraper.crawl.context import CrawlContext, StopSignal
from bookwheel_scraper.crawl.engine import crawl
from bookwheel_scraper.crawl.run_events import ExitStatus, RunMessages, outcome_of
from bookwheel_scraper.publishing.envelopes import Envelope
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunTakenOverError
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source, WebUrl, declared_sources

logger = get_logger(__name__)
T = TypeVar("T")


class InvalidCrawlRequestError(Exception):
    """The request cannot be crawled; the text becomes the run's reason."""


class _StopDeadlineError(Exception):
    """Redis stayed unavailable for too long after the scraper was stopped."""


def resolve_request(request: CrawlRequest, sources: dict[str, Source]) -> tuple[Source, tuple[str, ...]]:
    """The request's source and start URLs. Raises InvalidCrawlRequestError."""
    source = sources.get(request.source)
    if source is None:
        raise InvalidCrawlRequestError(f"there is no source {request.source!r}")
    if request.start_url is None:
        if source.requires_start_url:
            raise InvalidCrawlRequestError(f"the source {source.name!r} needs a start_url")
        return source, source.start_urls
    try:
        return source, (TypeAdapter(WebUrl).validate_python(request.start_url),)
    except ValidationError:
        raise InvalidCrawlRequestError("start_url must be an http or https address") from None


class CrawlRun:
    """`traceparent` is the run's and goes into every message."""

    def __init__(self, request: CrawlRequest, settings: ScraperSettings, stop: StopSignal, traceparent: str) -> None:
        self._request = request
        self._settings = settings
        self._stop = stop
        self._traceparent = traceparent
        self._messages = RunMessages(request, traceparent)
        self._attempt = RunAttempt(connect_redis(settings.redis_url), request.run_id)
        self._stop_deadline: float | None = None

    async def run(self) -> ExitStatus:
        try:
            source, start_urls = resolve_request(self._request, declared_sources(self._settings))
            await self._crawl(source, start_urls)
        except InvalidCrawlRequestError as error:
            await self._reject(str(error))
        except RunTakenOverError as error:
            logger.warning("run taken over", run_id=self._request.run_id, reason=str(error))
            return ExitStatus.TAKEN_OVER
        except _StopDeadlineError:
            logger.warning("run left unfinished", run_id=self._request.run_id)
            return ExitStatus.UNFINISHED
        return ExitStatus.FINISHED

    async def _reject(self, reason: str) -> None:
        logger.warning("crawl request rejected", run_id=self._request.run_id, reason=reason)
        started = self._messages.started(self._request.start_url or "")
        counts = await self._retry_redis(lambda: self._attempt.start(started))
        aborted = self._messages.aborted(counts, reason)
        await self._retry_redis(lambda: self._attempt.finish(aborted))

    async def _crawl(self, source: Source, start_urls: tuple[str, ...]) -> None:
        run_id = self._request.run_id
        started = self._messages.started(start_urls[0], source, whole=start_urls == source.start_urls)
        counts = await self._retry_redis(lambda: self._attempt.start(started))
        logger.info("crawl started", run_id=run_id, source=source.name, attempt=counts.attempt)
        site = source.undeclared_site(start_urls[0])
        envelope = Envelope(run_id=run_id, source=source.name, traceparent=self._traceparent, site=site)
        limits = PublishingLimits(stream_items=self._settings.scraper_stream_limit)
        publisher = Publisher(self._attempt, envelope, counts, limits)
        publisher.start()
        context = CrawlContext(source, start_urls, publisher, self._allows_private_addresses(source), self._stop)
        await crawl(context, self._settings)
        await self._drain(publisher)

        counts = publisher.counts()
        outcome = outcome_of(
            stop_reason=self._stop.reason,
            published=counts.published,
            errors=publisher.errors,
            first_error=context.first_error,
        )
        finished = self._messages.finished(counts, outcome)
        await self._retry_redis(lambda: self._attempt.finish(finished))
        fields = finished.model_dump(include={"state", "reason", "scraped", "pages", "errors"}, mode="json")
        logger.info("crawl finished", run_id=run_id, **fields)

    def _allows_private_addresses(self, source: Source) -> bool:
        is_declared = source.private_addresses and self._request.start_url is None
        return is_declared or self._settings.scraper_private_addresses == "allow"

    async def _drain(self, publisher: Publisher) -> None:
        """Waits until all items are published. Raises RunTakenOverError, _StopDeadlineError."""
        while not await asyncio.to_thread(publisher.close, seconds=0.5):
            if publisher.failure is not None:
                raise publisher.failure
            self._check_stop_deadline()

    async def _retry_redis(self, action: Callable[[], T]) -> T:
        """Repeats the call while Redis is unavailable. Raises _StopDeadlineError."""
        while True:
            try:
                return await asyncio.to_thread(action)
            except RedisError as error:
                logger.warning("redis unavailable", error=str(error))
            self._check_stop_deadline()
            await asyncio.sleep(0.5)

    def _check_stop_deadline(self) -> None:
        if not self._stop.urgent:
            return
        if self._stop_deadline is None:
            self._stop_deadline = time.monotonic() + self._settings.scraper_stop_seconds
        if time.monotonic() > self._stop_deadline:
            raise _StopDeadlineError

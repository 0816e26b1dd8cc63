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

from bookwheel_scraper.crawl.context import CrawlContext, Stop
from bookwheel_scraper.crawl.engine import crawl
from bookwheel_scraper.crawl.outcomes import ExitStatus, outcome_of
from bookwheel_scraper.crawl.run_events import RunMessages
from bookwheel_scraper.publishing.envelopes import Envelope
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunTakenOverError
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import Source, WebUrl, declared_sources

logger = get_logger(__name__)
Answer = TypeVar("Answer")


class InvalidCrawlRequestError(Exception):
    """The crawl cannot be made as asked; the text is the run's reason."""


class _StopDeadlineError(Exception):
    """Redis stayed away for too long after the scraper was told to stop."""


def plan(request: CrawlRequest, sources: dict[str, Source]) -> tuple[Source, tuple[str, ...]]:
    """The source and where to start. Raises BadRequest."""
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
    """`traceparent` is the run's: it goes into every message."""

    def __init__(self, request: CrawlRequest, settings: ScraperSettings, stop: Stop, traceparent: str) -> None:
        self._request = request
        self._settings = settings
        self._stop = stop
        self._traceparent = traceparent
        self._messages = RunMessages(request, traceparent)
        self._ledger = RunAttempt(connect_redis(settings.redis_url), request.run_id)
        self._deadline: float | None = None

    async def run(self) -> ExitStatus:
        try:
            source, start_urls = plan(self._request, declared_sources(self._settings))
            await self._crawl(source, start_urls)
        except InvalidCrawlRequestError as error:
            await self._refuse(str(error))
        except RunTakenOverError as error:
            logger.warning("run taken over", run_id=self._request.run_id, reason=str(error))
            return ExitStatus.TAKEN_OVER
        except _StopDeadlineError:
            logger.warning("run left unfinished", run_id=self._request.run_id)
            return ExitStatus.UNFINISHED
        return ExitStatus.FINISHED

    async def _refuse(self, reason: str) -> None:
        logger.warning("crawl refused", run_id=self._request.run_id, reason=reason)
        started = self._messages.started(self._request.start_url or "")
        before = await self._redis(lambda: self._ledger.begin(started))
        end = self._messages.broken(before, reason)
        await self._redis(lambda: self._ledger.finish(end))

    async def _crawl(self, source: Source, start_urls: tuple[str, ...]) -> None:
        run_id = self._request.run_id
        started = self._messages.started(start_urls[0], source, whole=start_urls == source.start_urls)
        before = await self._redis(lambda: self._ledger.begin(started))
        logger.info("crawl started", run_id=run_id, source=source.name, attempt=before.attempt)
        site = source.other_site(start_urls[0])
        envelope = Envelope(run_id=run_id, source=source.name, traceparent=self._traceparent, site=site)
        limits = PublishingLimits(stream_items=self._settings.scraper_stream_limit)
        publisher = Publisher(self._ledger, envelope, before, limits)
        publisher.start()
        context = CrawlContext(source, start_urls, publisher, self._may_enter_private(source), self._stop)
        await crawl(context, self._settings)
        await self._drain(publisher)

        progress = publisher.progress()
        outcome = outcome_of(
            stop_reason=self._stop.reason,
            published=progress.published,
            errors=publisher.errors,
            first_error=context.first_error,
        )
        end = self._messages.finished(progress, outcome)
        await self._redis(lambda: self._ledger.finish(end))
        counts = end.model_dump(include={"state", "reason", "scraped", "pages", "errors"}, mode="json")
        logger.info("crawl finished", run_id=run_id, **counts)

    def _may_enter_private(self, source: Source) -> bool:
        declared = source.private_addresses and self._request.start_url is None
        return declared or self._settings.scraper_private_addresses == "allow"

    async def _drain(self, publisher: Publisher) -> None:
        """Waits until all items are published. Raises RunTakenOver, _StopDeadlineError."""
        while not await asyncio.to_thread(publisher.close, seconds=0.5):
            if publisher.failure is not None:
                raise publisher.failure
            self._check_time()

    async def _redis(self, action: Callable[[], Answer]) -> Answer:
        """Calls Redis until it answers. Raises _StopDeadlineError."""
        while True:
            try:
                return await asyncio.to_thread(action)
            except RedisError as error:
                logger.warning("waiting for Redis", error=str(error))
            self._check_time()
            await asyncio.sleep(0.5)

    def _check_time(self) -> None:
        if not self._stop.urgent:
            return
        if self._deadline is None:
            self._deadline = time.monotonic() + self._settings.scraper_stop_seconds
        if time.monotonic() > self._deadline:
            raise _StopDeadlineError

"""Publishes a run's items in batches from a thread, so that a slow Redis never blocks the crawl's event loop.

The buffer is bounded. `put` waits for space, and Scrapy stops fetching while its item pipeline waits.
"""

import asyncio
import contextvars
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

from bookwheel_runtime.logs import get_logger
from redis.exceptions import RedisError

from bookwheel_scraper.publishing.envelopes import Envelope, ScrapedBook
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts, RunTakenOverError

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublishingLimits:
    """A batch is published at `batch_items`, `batch_bytes` or `batch_seconds`, whichever comes first.

    The buffer holds `buffer_items` or `buffer_bytes`. Publishing pauses while the stream is longer than
    `stream_items`.
    """

    batch_items: int = 500
    batch_bytes: int = 4_000_000
    batch_seconds: float = 0.2
    buffer_items: int = 4_000
    buffer_bytes: int = 32_000_000
    stream_items: int = 20_000
    pause_seconds: float = 0.1
    max_pause_seconds: float = 5.0


class Publisher:
    """Numbers the items of one attempt of a run and publishes them in order.

    Call `put` and the `count_` methods from the event loop, `start` and `close` from any thread. `failure` is set when
    another process took the run over; `put` then raises it.
    """

    def __init__(self, attempt: RunAttempt, envelope: Envelope, previous: RunCounts, limits: PublishingLimits) -> None:
        self._attempt = attempt
        self._envelope = envelope
        self._limits = limits
        self._previous = previous
        self._numbered = previous.published
        self._published = previous.published
        self._pages = 0
        self._errors = 0
        self.requests = previous.requests
        """Over all attempts of the run, as `bytes`."""
        self.bytes = previous.bytes
        self.seconds_before = previous.seconds
        """From the run's first start to the start of this attempt."""
        self._recorded = previous
        self._buffer: deque[bytes] = deque()
        self._buffer_bytes = 0
        self._condition = threading.Condition()
        self._closing = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.failure: RunTakenOverError | None = None
        context = contextvars.copy_context()  # the thread's log lines carry the run's trace id
        self._thread = threading.Thread(target=context.run, args=(self._publish_loop,), name="publisher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def count_page(self) -> None:
        self._pages += 1

    def count_error(self) -> None:
        self._errors += 1

    def count_request(self) -> None:
        self.requests += 1

    def count_bytes(self, number: int) -> None:
        self.bytes += number

    @property
    def errors(self) -> int:
        """Errors of this attempt."""
        return self._errors

    def counts(self) -> RunCounts:
        """The items that Redis confirmed, with all other counts so far."""
        return replace(
            self._previous,
            published=self._published,
            pages=self._previous.pages + self._pages,
            errors=self._previous.errors + self._errors,
            requests=self.requests,
            bytes=self.bytes,
        )

    async def put(self, book: ScrapedBook) -> None:
        """Buffers one item; waits while the buffer is full. Raises RunTakenOverError."""
        while not self._try_put(book):
            waiter = (asyncio.get_running_loop(), asyncio.Event())
            with self._condition:
                self._waiters.append(waiter)
                if self._has_space() or self.failure is not None:
                    waiter[1].set()
            try:
                await waiter[1].wait()
            finally:
                with self._condition:
                    if waiter in self._waiters:
                        self._waiters.remove(waiter)

    def close(self, *, seconds: float | None = None) -> bool:
        """Waits until everything is published, at most `seconds`. Returns whether it is."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive() and self.failure is None

    def _try_put(self, book: ScrapedBook) -> bool:
        with self._condition:
            if self.failure is not None:
                raise self.failure
            if not self._has_space():
                return False
            body = self._envelope.wrap(book, number=self._numbered + 1)
            self._numbered += 1
            was_full = self._batch_is_full()
            self._buffer.append(body)
            self._buffer_bytes += len(body)
            if len(self._buffer) == 1 or (not was_full and self._batch_is_full()):
                self._condition.notify_all()
            return True

    def _has_space(self) -> bool:
        return len(self._buffer) < self._limits.buffer_items and self._buffer_bytes < self._limits.buffer_bytes

    def _batch_is_full(self) -> bool:
        return len(self._buffer) >= self._limits.batch_items or self._buffer_bytes >= self._limits.batch_bytes

    def _publish_loop(self) -> None:
        try:
            while not (self._closing and not self._buffer):
                batch = self._next_batch()
                if batch or self.counts() != self._recorded:
                    self._publish(batch)
        except RunTakenOverError as error:
            logger.warning("run taken over", reason=str(error))
            with self._condition:
                self.failure = error
        finally:
            self._notify_waiters()

    def _next_batch(self) -> list[bytes]:
        """Waits for a full batch, or `batch_seconds` after its first item. Items stay buffered until published.

        Returns an empty batch after a second without items, so that page counts are still recorded.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._buffer or self._closing, timeout=1.0)
            if self._buffer:
                self._condition.wait_for(
                    lambda: self._batch_is_full() or self._closing, timeout=self._limits.batch_seconds
                )
            batch: list[bytes] = []
            size = 0
            for body in self._buffer:
                if batch and (len(batch) == self._limits.batch_items or size + len(body) > self._limits.batch_bytes):
                    break
                batch.append(body)
                size += len(body)
            return batch

    def _publish(self, batch: list[bytes]) -> None:
        """Retries until Redis confirms. A repeated batch has the same item numbers, so the processor detects it."""
        pause = self._limits.pause_seconds
        while True:
            counts = replace(self.counts(), published=self._published + len(batch))
            try:
                length = self._attempt.publish(batch, counts)
                break
            except RedisError as error:
                logger.warning("redis unavailable", error=str(error), buffered_items=len(self._buffer))
                time.sleep(pause)
                pause = min(pause * 2, self._limits.max_pause_seconds)
        with self._condition:
            for body in batch:
                self._buffer.popleft()
                self._buffer_bytes -= len(body)
            self._published += len(batch)
            self._recorded = counts
        self._notify_waiters()
        self._wait_for_stream_space(length)

    def _wait_for_stream_space(self, length: int) -> None:
        if length <= self._limits.stream_items:
            return
        logger.info("raw stream full", entries=length)
        while length > self._limits.stream_items:
            time.sleep(self._limits.pause_seconds)
            try:
                length = self._attempt.publish([], self.counts())
            except RedisError:
                continue  # publishing the next batch waits for Redis

    def _notify_waiters(self) -> None:
        with self._condition:
            waiters, self._waiters = self._waiters, []
            for loop, has_space in waiters:
                loop.call_soon_threadsafe(has_space.set)

"""Publishes a run's items in batches from a thread, so that a slow or absent Redis never blocks the crawl's event loop.

The buffer is bounded: `put` waits for room, and a Scrapy pipeline that waits makes the engine stop its intake.
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
    """A batch goes out at `batch_items`, `batch_bytes` or `batch_seconds`, whichever comes first. The buffer holds
    `buffer_items` or `buffer_bytes`. Nothing goes out while the stream is longer than `stream_items`.
    """

    batch_items: int = 500
    batch_bytes: int = 4_000_000
    batch_seconds: float = 0.2
    buffer_items: int = 4_000
    buffer_bytes: int = 32_000_000
    stream_items: int = 20_000
    pause_seconds: float = 0.1
    longest_pause_seconds: float = 5.0


class Publisher:
    """Numbers the items of one attempt of a run and publishes them in order.

    `put` and what counts are called from the event loop, `start` and `close` from any thread. Once `failure` is set
    (another process has taken the run over) nothing more is accepted.
    """

    def __init__(self, ledger: RunAttempt, envelope: Envelope, before: RunCounts, limits: PublishingLimits) -> None:
        self._ledger = ledger
        self._envelope = envelope
        self._limits = limits
        self._before = before
        self._numbered = before.published
        self._published = before.published
        self._pages = 0
        self._errors = 0
        self.requests = before.requests
        """Of all attempts of the run, as `bytes`."""
        self.bytes = before.bytes
        self.seconds_before = before.seconds
        """From the run's first start to this attempt's."""
        self._recorded = before
        self._buffer: deque[bytes] = deque()
        self._buffer_bytes = 0
        self._changed = threading.Condition()
        self._closing = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.failure: RunTakenOverError | None = None
        context = contextvars.copy_context()  # log lines of the thread carry the run's trace id
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="publisher", daemon=True)

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

    def progress(self) -> RunCounts:
        """What Redis has confirmed, with what was counted so far."""
        return replace(
            self._before,
            published=self._published,
            pages=self._before.pages + self._pages,
            errors=self._before.errors + self._errors,
            requests=self.requests,
            bytes=self.bytes,
        )

    async def put(self, book: ScrapedBook) -> None:
        """Takes one item; waits while the buffer is full. Raises RunTakenOver."""
        while not self._offer(book):
            waiter = (asyncio.get_running_loop(), asyncio.Event())
            with self._changed:
                self._waiting.append(waiter)
                if self._has_room() or self.failure is not None:
                    waiter[1].set()
            try:
                await waiter[1].wait()
            finally:
                with self._changed:
                    if waiter in self._waiting:
                        self._waiting.remove(waiter)

    def close(self, *, seconds: float | None = None) -> bool:
        """Waits until everything is published, at most `seconds`. Whether it is."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive() and self.failure is None

    def _offer(self, book: ScrapedBook) -> bool:
        with self._changed:
            if self.failure is not None:
                raise self.failure
            if not self._has_room():
                return False
            body = self._envelope.wrap(book, number=self._numbered + 1)
            self._numbered += 1
            was_full = self._batch_is_full()
            self._buffer.append(body)
            self._buffer_bytes += len(body)
            if len(self._buffer) == 1 or (not was_full and self._batch_is_full()):
                self._changed.notify_all()
            return True

    def _has_room(self) -> bool:
        return len(self._buffer) < self._limits.buffer_items and self._buffer_bytes < self._limits.buffer_bytes

    def _batch_is_full(self) -> bool:
        return len(self._buffer) >= self._limits.batch_items or self._buffer_bytes >= self._limits.batch_bytes

    def _work(self) -> None:
        try:
            while not (self._closing and not self._buffer):
                batch = self._next_batch()
                if batch or self.progress() != self._recorded:
                    self._publish(batch)
        except RunTakenOverError as taken_over:
            logger.warning("run taken over", reason=str(taken_over))
            with self._changed:
                self.failure = taken_over
        finally:
            self._wake_putters()

    def _next_batch(self) -> list[bytes]:
        """Waits for a batch: a full one, or what has come within `batch_seconds` of its first item. It stays in the
        buffer until it is published. Empty once a second, so that pages are recorded where no items come."""
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._closing, timeout=1.0)
            if self._buffer:
                self._changed.wait_for(
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
        """Publishes until Redis confirms. A batch that arrived unconfirmed arrives again under the same item numbers,
        by which the processor knows it."""
        pause = self._limits.pause_seconds
        while True:
            progress = replace(self.progress(), published=self._published + len(batch))
            try:
                length = self._ledger.publish(batch, progress)
                break
            except RedisError as error:
                logger.warning("publishing waits for Redis", error=str(error), items=len(self._buffer))
                time.sleep(pause)
                pause = min(pause * 2, self._limits.longest_pause_seconds)
        with self._changed:
            for body in batch:
                self._buffer.popleft()
                self._buffer_bytes -= len(body)
            self._published += len(batch)
            self._recorded = progress
        self._wake_putters()
        self._wait_for_processor(length)

    def _wait_for_processor(self, length: int) -> None:
        if length <= self._limits.stream_items:
            return
        logger.info("publishing waits for the processor", stream_items=length)
        while length > self._limits.stream_items:
            time.sleep(self._limits.pause_seconds)
            try:
                length = self._ledger.publish([], self.progress())
            except RedisError:
                continue  # the next batch waits for Redis itself

    def _wake_putters(self) -> None:
        with self._changed:
            waiting, self._waiting = self._waiting, []
            for loop, room in waiting:
                loop.call_soon_threadsafe(room.set)

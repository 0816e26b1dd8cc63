"""Publishes a run's items in batches from a thread, so that a slow Redis never blocks the crawl's event loop.

The buffer is bounded. `put` waits for space, and Scrapy stops fetching while its item pipeline waits.
"""

import asyncio
import contextvars
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from bookwheel_contracts import FetchedPage
from bookwheel_runtime.logs import get_logger
from redis.exceptions import RedisError

from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder, ScrapedBook
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts, RunTakenOverError

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PublishingLimits:
    """A batch is published at `batch_items`, `batch_bytes` or `batch_seconds`, whichever comes first.

    Up to `batch_pages` pages are published with a batch, and without a batch after a second. The buffer contains at
    most `buffer_items` items and `buffer_bytes` bytes. Publishing pauses while the stream is longer than
    `max_stream_length`.
    """

    batch_items: int = 500
    batch_bytes: int = 4_000_000
    batch_pages: int = 500
    batch_seconds: float = 0.2
    buffer_items: int = 4_000
    buffer_bytes: int = 32_000_000
    max_stream_length: int = 20_000
    pause_seconds: float = 0.1
    max_pause_seconds: float = 5.0


class Publisher:
    """Numbers the items and pages of one attempt of a run and publishes them in order.

    Call `put`, `record_page`, `add_bytes` and the `count_` methods from the event loop; call `start` and `close` from
    any thread. `failure` is set when another process took the run over; `put` then raises it.
    """

    def __init__(
        self,
        attempt: RunAttempt,
        item_messages: ItemMessageBuilder,
        previous_counts: RunCounts,
        limits: PublishingLimits,
    ) -> None:
        self._attempt = attempt
        self._messages = item_messages
        self._limits = limits
        self._previous_counts = previous_counts
        self._last_item_number = previous_counts.published
        self._published_count = previous_counts.published
        self._published_pages = previous_counts.pages
        self._page_counts = Counter(previous_counts.outcomes)
        self._pages: deque[FetchedPage] = deque()
        self.attempt_errors = 0
        self.request_count = previous_counts.requests
        """Total of all attempts, like `byte_count`. `attempt_errors` counts only this attempt."""
        self.byte_count = previous_counts.bytes
        self.previous_seconds = previous_counts.seconds
        """Seconds from the run's first start to the start of this attempt."""
        self._recorded_counts = previous_counts
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

    def record_page(self, page: FetchedPage) -> None:
        """Adds the outcome of a page to the buffer."""
        with self._condition:
            self._pages.append(page)

    @property
    def buffered_pages(self) -> int:
        return len(self._pages)

    def count_error(self) -> None:
        self.attempt_errors += 1

    def count_request(self) -> None:
        self.request_count += 1

    def add_bytes(self, count: int) -> None:
        self.byte_count += count

    def counts(self) -> RunCounts:
        """The current counts; `published` and `pages` include only what Redis has confirmed."""
        return replace(
            self._previous_counts,
            published=self._published_count,
            pages=self._published_pages,
            outcomes=dict(self._page_counts),
            errors=self._previous_counts.errors + self.attempt_errors,
            requests=self.request_count,
            bytes=self.byte_count,
        )

    async def put(self, book: ScrapedBook) -> None:
        """Adds one item to the buffer and waits while the buffer is full. Raises RunTakenOverError."""
        while not self._try_put(book):
            space_event = asyncio.Event()
            waiter = (asyncio.get_running_loop(), space_event)
            with self._condition:
                self._waiters.append(waiter)
                if self._has_space() or self.failure is not None:
                    space_event.set()
            try:
                await space_event.wait()
            finally:
                with self._condition:
                    if waiter in self._waiters:
                        self._waiters.remove(waiter)

    def close(self, *, seconds: float | None = None) -> bool:
        """Waits at most `seconds` until all items are published. Returns True if they are."""
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
            body = self._messages.build(book, item_number=self._last_item_number + 1)
            self._last_item_number += 1
            was_full = self._is_batch_full()
            self._buffer.append(body)
            self._buffer_bytes += len(body)
            if len(self._buffer) == 1 or (not was_full and self._is_batch_full()):
                self._condition.notify_all()
            return True

    def _has_space(self) -> bool:
        return len(self._buffer) < self._limits.buffer_items and self._buffer_bytes < self._limits.buffer_bytes

    def _is_batch_full(self) -> bool:
        return len(self._buffer) >= self._limits.batch_items or self._buffer_bytes >= self._limits.batch_bytes

    def _publish_loop(self) -> None:
        try:
            while not (self._closing and not self._buffer and not self._pages):
                batch = self._next_batch()
                if batch or self._pages or self.counts() != self._recorded_counts:
                    self._publish(batch)
        except RunTakenOverError as error:
            logger.warning("run taken over", reason=str(error))
            with self._condition:
                self.failure = error
        finally:
            self._notify_waiters()

    def _next_batch(self) -> list[bytes]:
        """Waits until the batch is full, but at most `batch_seconds` after its first item.

        Its items stay in the buffer until they are published. After a second without items the batch is empty, so that
        the page counts are still recorded.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._buffer or self._closing, timeout=1.0)
            if self._buffer:
                self._condition.wait_for(
                    lambda: self._is_batch_full() or self._closing, timeout=self._limits.batch_seconds
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
        """Publishes a batch and the buffered pages, and retries until Redis confirms them.

        A repeated batch has the same item and page numbers, so the processor detects it.
        """
        pause = self._limits.pause_seconds
        with self._condition:
            pages = list(islice(self._pages, self._limits.batch_pages))
        bodies = [*batch, *self._page_messages(pages)]
        page_counts = self._page_counts + Counter(page.outcome for page in pages)
        while True:
            counts = replace(
                self.counts(),
                published=self._published_count + len(batch),
                pages=self._published_pages + len(pages),
                outcomes=dict(page_counts),
            )
            try:
                length = self._attempt.publish(bodies, counts)
                break
            except RedisError as error:
                logger.warning("redis unavailable", error=str(error), buffered_items=len(self._buffer))
                time.sleep(pause)
                pause = min(pause * 2, self._limits.max_pause_seconds)
        with self._condition:
            for body in batch:
                self._buffer.popleft()
                self._buffer_bytes -= len(body)
            for _ in pages:
                self._pages.popleft()
            self._published_count += len(batch)
            self._published_pages += len(pages)
            self._page_counts = page_counts
            self._recorded_counts = counts
        self._notify_waiters()
        self._wait_for_stream_space(length)

    def _page_messages(self, pages: Sequence[FetchedPage]) -> list[bytes]:
        return [self._messages.build_pages(pages, first_page=self._published_pages + 1)] if pages else []

    def _wait_for_stream_space(self, length: int) -> None:
        if length <= self._limits.max_stream_length:
            return
        logger.info("raw stream full", stream_length=length)
        while length > self._limits.max_stream_length:
            time.sleep(self._limits.pause_seconds)
            try:
                length = self._attempt.publish([], self.counts())  # an empty batch returns the length of the stream
            except RedisError:
                continue  # the length is unknown: check again after the next pause

    def _notify_waiters(self) -> None:
        with self._condition:
            waiters, self._waiters = self._waiters, []
            for loop, space_event in waiters:
                loop.call_soon_threadsafe(space_event.set)

"""The job that delivers due webhooks: to many receivers at a time, in order for each receiver."""

import asyncio
import time
from operator import itemgetter

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import WebhookQueue
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.webhooks.sending import RetryPolicy, WebhookSender

MAX_RECEIVERS = 32
"""The maximum number of receivers at a time. At most half of them may be failing receivers."""
JOB_SECONDS = 8.0
"""A job starts deliveries during this time, then awaits those in flight. It ends within a worker's shutdown timeout."""
_FAILING_SECONDS = 1.0
"""A job attempts failing receivers only during this time at its beginning, so that a slow one does not prolong it."""
_POLL_SECONDS = 0.25
_CLAIM_MARGIN_SECONDS = 5.0
_MAX_WEBHOOKS = 1000
_IDLE_SECONDS = 0.5
"""A webhook is skipped for this time if it has nothing to deliver yet, such as a run that is not searchable."""
logger = get_logger(__name__)


def deliver_webhooks(engine: Engine, settings: ProcessorSettings) -> int:
    """Deliver due webhooks for at most a few seconds; return the number of successful deliveries.

    Several machines can share the work: each delivery is claimed in the records, and claims expire.
    """
    return asyncio.run(_dispatch(engine, settings))


async def _dispatch(engine: Engine, settings: ProcessorSettings) -> int:
    policy = RetryPolicy(settings.webhook_timeout, settings.webhook_first_pause, settings.webhook_max_age)
    allow_private = settings.webhook_private_addresses == "allow"
    sender = WebhookSender(policy, allow_private=allow_private, connections=MAX_RECEIVERS)
    queue = WebhookQueue(engine)
    return await WebhookDispatcher(queue, sender, attempt_seconds=settings.webhook_timeout).run()


class WebhookDispatcher:
    """One job. `attempt_seconds` is the longest duration of an attempt."""

    def __init__(self, queue: WebhookQueue, sender: WebhookSender, *, attempt_seconds: float) -> None:
        self._queue = queue
        self._sender = sender
        self._claim_ms = round((attempt_seconds + _CLAIM_MARGIN_SECONDS) * 1000)
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._idle_since: dict[int, float] = {}
        self._delivered = 0

    async def run(self) -> int:
        """Run until nothing is due or the time is over; return the number of successful deliveries."""
        clock = asyncio.get_running_loop().time
        started_at = clock()
        try:
            while True:
                if clock() - started_at < JOB_SECONDS:
                    await self._start_due(include_failing=clock() - started_at < _FAILING_SECONDS)
                if not self._in_flight:
                    return self._delivered
                await asyncio.wait(self._in_flight.values(), timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._in_flight = {number: task for number, task in self._in_flight.items() if not task.done()}
        finally:
            await self._sender.close()

    async def _start_due(self, *, include_failing: bool) -> None:
        due = await asyncio.to_thread(self._queue.list_due, now=_now_millis(), limit=_MAX_WEBHOOKS)
        idle_after = asyncio.get_running_loop().time() - _IDLE_SECONDS
        for number, has_failed in sorted(due, key=itemgetter(1)):
            is_idle = self._idle_since.get(number, 0.0) > idle_after
            if number in self._in_flight or is_idle or (has_failed and not include_failing):
                continue
            if len(self._in_flight) < (MAX_RECEIVERS // 2 if has_failed else MAX_RECEIVERS):
                self._in_flight[number] = asyncio.create_task(self._deliver(number))

    async def _deliver(self, number: int) -> None:
        """Make one attempt. Other receivers come before the next delivery to this one."""
        try:
            delivery = await asyncio.to_thread(self._queue.claim, number, now=_now_millis(), claim_ms=self._claim_ms)
            if delivery is None:
                self._idle_since[number] = asyncio.get_running_loop().time()
                return
            result = await self._sender.attempt(delivery)
            await asyncio.to_thread(self._queue.record_result, delivery, result, now=_now_millis())
        except SQLAlchemyError as error:
            self._idle_since[number] = asyncio.get_running_loop().time()
            logger.warning("webhook delivery postponed: records unavailable", error=str(error)[:500])
            return
        self._delivered += result.delivered
        event = "webhook delivered" if result.delivered else "webhook not delivered"
        logger.info(event, delivery=delivery.delivery_id, attempt=delivery.attempts + 1, reason=result.reason)


def _now_millis() -> int:
    return time.time_ns() // 1_000_000

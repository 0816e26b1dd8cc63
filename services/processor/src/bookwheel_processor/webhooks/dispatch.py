"""Delivers what is due, to many receivers at a time and to each in order."""

import asyncio
import time
from operator import itemgetter

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import WebhookQueue
from sqlalchemy.exc import SQLAlchemyError

from bookwheel_processor.webhooks.sending import Sender

RECEIVERS = 32
"""Receivers that are delivered to at a time; half of them at most are such as failed before."""
BOX_SECONDS = 8.0
"""A round starts deliveries for so long, and then only ends those under way: with them it stays below the time that a
worker has for its orderly end."""
_FAILING_SECONDS = 1.0
"""Receivers that failed are tried at a round's beginning only, so that a hanging one does not prolong it further."""
_LOOK_SECONDS = 0.25
_CLAIM_MARGIN = 5.0
_WEBHOOKS = 1000
_REST_SECONDS = 0.5
"""A webhook for which nothing was to be done yet, such as a run that is not searchable, is left alone for so long."""
_log = get_logger(__name__)


def _now() -> int:
    return time.time_ns() // 1_000_000


class Dispatch:
    """One round. `attempt_seconds` is the longest that an attempt takes."""

    def __init__(self, queue: WebhookQueue, sender: Sender, *, attempt_seconds: float) -> None:
        self._queue = queue
        self._sender = sender
        self._claim_ms = round((attempt_seconds + _CLAIM_MARGIN) * 1000)
        self._working: dict[int, asyncio.Task[None]] = {}
        self._looked_at: dict[int, float] = {}
        self._delivered = 0

    async def run(self) -> int:
        """Until nothing is due or the time is up; returns how many deliveries arrived."""
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            while True:
                if clock() - started < BOX_SECONDS:
                    await self._start(include_failing=clock() - started < _FAILING_SECONDS)
                if not self._working:
                    return self._delivered
                await asyncio.wait(self._working.values(), timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                self._working = {number: task for number, task in self._working.items() if not task.done()}
        finally:
            await self._sender.close()

    async def _start(self, *, include_failing: bool) -> None:
        due = await asyncio.to_thread(self._queue.list_due, now=_now(), limit=_WEBHOOKS)
        just_now = asyncio.get_running_loop().time() - _REST_SECONDS
        for number, has_failed in sorted(due, key=itemgetter(1)):
            is_resting = self._looked_at.get(number, 0.0) > just_now
            if number in self._working or is_resting or (has_failed and not include_failing):
                continue
            if len(self._working) < (RECEIVERS // 2 if has_failed else RECEIVERS):
                self._working[number] = asyncio.create_task(self._deliver(number))

    async def _deliver(self, number: int) -> None:
        """One attempt; the next one of this receiver waits for its turn among the others."""
        try:
            work = await asyncio.to_thread(self._queue.claim, number, now=_now(), claim_ms=self._claim_ms)
            if work is None:
                self._looked_at[number] = asyncio.get_running_loop().time()
                return
            result = await self._sender.attempt(work)
            await asyncio.to_thread(self._queue.record_result, work, result, now=_now())
        except SQLAlchemyError as error:
            self._looked_at[number] = asyncio.get_running_loop().time()
            _log.warning("the records refuse: a webhook is tried later", error=str(error)[:500])
            return
        self._delivered += result.delivered
        event = "webhook delivered" if result.delivered else "webhook not delivered"
        _log.info(event, delivery=work.delivery_id, attempt=work.attempts + 1, reason=result.reason)

"""Proof that the worker works: a process that lives but no longer takes tasks is worse than a dead one."""

import threading
import time
from collections.abc import Callable

from bookwheel_runtime.logs import get_logger
from redis import Redis
from redis.exceptions import RedisError

PROGRESS_KEY = "bookwheel:processor:progress"
"""Unix time, in seconds, at which an ingest last went through."""
_log = get_logger(__name__)


class Progress:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def note(self) -> None:
        self._redis.set(PROGRESS_KEY, f"{time.time():.3f}")

    def age(self) -> float | None:
        """Seconds since the last sign of progress, None where there was none. Raises RedisError.

        Positive also for one at a time that is yet to come: the clock was set back since, and a worker that gets on
        leaves a new sign within a second.
        """
        found = self.sign()
        return None if found is None else abs(time.time() - float(found))

    def sign(self) -> bytes | str | None:
        """Another one after each progress. Raises RedisError."""
        return self._redis.get(PROGRESS_KEY)


class Watchdog(threading.Thread):
    """Calls `restart` after `stalled_after` seconds in which Redis answered and no ingest went through.

    It asks for one itself (`nudge`) half-way there, so a missing scheduler does not look like a stalled worker.
    """

    def __init__(
        self, progress: Progress, *, stalled_after: float, nudge: Callable[[], None], restart: Callable[[], None]
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._progress = progress
        self._stalled_after = stalled_after
        self._nudge = nudge
        self._restart = restart
        self._stop_asked = threading.Event()

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        sign, since = None, time.monotonic()
        while not self._stop_asked.wait(self._stalled_after / 8):
            try:
                found = self._progress.sign()
                if found != sign:
                    sign, since = found, time.monotonic()
                silent_for = time.monotonic() - since
                if silent_for > self._stalled_after / 2:
                    self._nudge()
            except (RedisError, OSError):
                since = time.monotonic()  # no worker makes progress without Redis
                continue
            if silent_for > self._stalled_after:
                _log.critical("no progress: restarting", silent_for=round(silent_for))
                self._restart()
                return

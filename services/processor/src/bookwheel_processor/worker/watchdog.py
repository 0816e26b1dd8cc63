"""Restarts a worker that is alive but no longer runs tasks."""

import threading
import time
from collections.abc import Callable

from bookwheel_runtime.health_server import Progress
from bookwheel_runtime.logs import get_logger
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

logger = get_logger(__name__)


class Watchdog(threading.Thread):
    """Calls `restart` after `stalled_after` seconds in which Redis answered but this worker finished no ingest job.

    After half of that time it calls `trigger` itself, so that a missing scheduler does not look like a stalled worker.
    """

    def __init__(
        self,
        progress: Progress,
        redis: Redis,
        *,
        stalled_after: float,
        trigger: Callable[[], None],
        restart: Callable[[], None],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._progress = progress
        self._redis = redis
        self._stalled_after = stalled_after
        self._trigger = trigger
        self._restart = restart
        self._stopped = threading.Event()
        self._excused_at: float | None = None
        self._redis_error: str | None = None

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        self._excused_at = time.monotonic()
        # The period is short, because another worker can get the trigger.
        while not self._stopped.wait(self._stalled_after / 40):
            try:
                self._redis.ping()
                self._redis_error = None
                if self._idle_seconds() > self._stalled_after / 2:
                    self._trigger()
            except (RedisError, OperationalError, OSError) as error:
                self._redis_error = f"Redis is unavailable: {error}"
                self._excused_at = time.monotonic()  # no worker makes progress without Redis
                continue
            if reason := self.alive():
                logger.critical("worker restarting", reason=reason)
                self._restart()
                return

    def alive(self) -> str | None:
        """Return the reason if the worker has stalled, else None."""
        idle_seconds = self._idle_seconds()
        return f"no progress for {idle_seconds:.0f} s" if idle_seconds > self._stalled_after else None

    def ready(self) -> str | None:
        """Return the reason if the worker cannot ingest, else None."""
        return self._redis_error or ("no progress yet" if self._progress.age() is None else self.alive())

    def _idle_seconds(self) -> float:
        """Seconds without progress, not counting those in which Redis was unavailable."""
        if self._excused_at is None:
            return 0.0
        excused = time.monotonic() - self._excused_at
        age = self._progress.age()
        return excused if age is None else min(age, excused)

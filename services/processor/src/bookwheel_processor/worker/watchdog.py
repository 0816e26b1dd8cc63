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
        self._idle_since: float | None = None
        self._redis_error: str | None = None

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        self._idle_since = time.monotonic()
        # The period is short, because another worker can get the trigger.
        while not self._stopped.wait(self._stalled_after / 40):
            try:
                self._redis.ping()
                self._redis_error = None
                if self._idle_seconds() > self._stalled_after / 2:
                    self._trigger()
            except (RedisError, OperationalError, OSError) as error:
                self._redis_error = f"Redis is unavailable: {error}"
                self._idle_since = time.monotonic()  # without Redis, no worker makes progress
                continue
            if reason := self.liveness_error():
                logger.critical("worker restarting", reason=reason)
                self._restart()
                return

    def liveness_error(self) -> str | None:
        """Return the reason if the worker has stalled, else None."""
        idle_seconds = self._idle_seconds()
        return f"no progress for {idle_seconds:.0f} s" if idle_seconds > self._stalled_after else None

    def readiness_error(self) -> str | None:
        """Return the reason if the worker cannot ingest, else None."""
        return self._redis_error or ("no progress yet" if self._progress.age() is None else self.liveness_error())

    def _idle_seconds(self) -> float:
        """Seconds without progress, not counting those in which Redis was unavailable."""
        if self._idle_since is None:
            return 0.0
        idle_seconds, age = time.monotonic() - self._idle_since, self._progress.age()
        return idle_seconds if age is None else min(age, idle_seconds)

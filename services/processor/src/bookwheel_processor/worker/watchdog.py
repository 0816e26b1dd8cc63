"""Proof that the worker works: a process that lives but no longer takes tasks is worse than a dead one."""

import threading
import time
from collections.abc import Callable

from bookwheel_runtime.health_server import Progress
from bookwheel_runtime.logs import get_logger
from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import RedisError

_log = get_logger(__name__)


class Watchdog(threading.Thread):
    """Calls `restart` after `stalled_after` seconds in which Redis answered and no ingest of this worker went through.

    It asks for some itself (`nudge`) from half-way there, so a missing scheduler does not look like a stalled worker.
    """

    def __init__(
        self,
        progress: Progress,
        redis: Redis,
        *,
        stalled_after: float,
        nudge: Callable[[], None],
        restart: Callable[[], None],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._progress = progress
        self._redis = redis
        self._stalled_after = stalled_after
        self._nudge = nudge
        self._restart = restart
        self._stop_asked = threading.Event()
        self._excused_at: float | None = None
        self._redis_fault: str | None = None

    def stop(self) -> None:
        self._stop_asked.set()

    def run(self) -> None:
        self._excused_at = time.monotonic()
        # Often, since another worker may take the nudge.
        while not self._stop_asked.wait(self._stalled_after / 40):
            try:
                self._redis.ping()
                self._redis_fault = None
                if self._silent_for() > self._stalled_after / 2:
                    self._nudge()
            except (RedisError, OperationalError, OSError) as error:
                self._redis_fault = f"Redis does not answer: {error}"
                self._excused_at = time.monotonic()  # no worker makes progress without it
                continue
            if fault := self.alive():
                _log.critical("restarting", reason=fault)
                self._restart()
                return

    def alive(self) -> str | None:
        """What is wrong where the worker has stalled."""
        silent_for = self._silent_for()
        return f"no progress for {silent_for:.0f} s" if silent_for > self._stalled_after else None

    def ready(self) -> str | None:
        """What is wrong where the worker can't be relied on to take in what comes."""
        return self._redis_fault or ("no progress yet" if self._progress.age() is None else self.alive())

    def _silent_for(self) -> float:
        """Seconds without progress, of those in which there could have been any."""
        if self._excused_at is None:
            return 0.0
        excused = time.monotonic() - self._excused_at
        age = self._progress.age()
        return excused if age is None else min(age, excused)

"""Triggers each task at its period, by the monotonic clock.

Celery's beat uses the time of day: if the clock is set back by an hour, it sends nothing for an hour.
"""

import threading
import time
from collections.abc import Callable, Mapping

from bookwheel_runtime.health_server import Progress
from bookwheel_runtime.logs import get_logger
from kombu.exceptions import OperationalError

_TICK_SECONDS = 0.05
logger = get_logger(__name__)


class MonotonicScheduler:
    """`trigger` gets a task's name; `periods` are seconds by name. Records `progress` at every tick.

    While the broker is unavailable, triggers are skipped. They are not sent later.
    """

    def __init__(self, trigger: Callable[[str], None], periods: Mapping[str, float], progress: Progress) -> None:
        self._trigger = trigger
        self._periods = periods
        self._due = dict.fromkeys(periods, 0.0)
        self._progress = progress
        self._broker_error: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set."""
        while not stop.wait(_TICK_SECONDS):
            self.tick(time.monotonic())
            self._progress.record()

    def get_error(self) -> str | None:
        """Return why triggers cannot be sent, or None if they can."""
        return self._broker_error

    def tick(self, now: float) -> None:
        for name, due in self._due.items():
            if now >= due:
                self._due[name] = now + self._periods[name]
                self._send(name)

    def _send(self, name: str) -> None:
        try:
            self._trigger(name)
        except (OperationalError, OSError) as error:
            message = str(error)[:500]
            if self._broker_error is None:
                logger.warning("broker unavailable", error=message)
            self._broker_error = f"the broker is unavailable: {message}"
        else:
            self._broker_error = None

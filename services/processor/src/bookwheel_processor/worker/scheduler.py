"""Triggers each task at its period, by the monotonic clock.

Celery's beat plans by the time of day: with the clock set back by an hour it sends nothing for an hour.
"""

import threading
import time
from collections.abc import Callable, Mapping

from bookwheel_runtime.health_server import Progress
from bookwheel_runtime.logs import get_logger
from kombu.exceptions import OperationalError

_TICK = 0.05  # seconds
logger = get_logger(__name__)


class MonotonicScheduler:
    """`trigger` gets a task's name; `periods` are seconds by name. Notes `progress` at every tick.

    While the broker is unavailable triggers are skipped. They are not made up for.
    """

    def __init__(self, trigger: Callable[[str], None], periods: Mapping[str, float], progress: Progress) -> None:
        self._trigger = trigger
        self._periods = periods
        self._due = dict.fromkeys(periods, 0.0)
        self._progress = progress
        self._fault: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Run until `stop` is set."""
        while not stop.wait(_TICK):
            self.tick(time.monotonic())
            self._progress.record()

    def fault(self) -> str | None:
        """Why triggers cannot be sent; None where they can."""
        return self._fault

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
            if self._fault is None:
                logger.warning("broker unavailable", error=message)
            self._fault = f"the broker is unavailable: {message}"
        else:
            self._fault = None

"""The scheduler: nudges the workers, each task at its period, by a clock that nobody can set.

Celery's own plans by the time of day. Set back by an hour, it sends nothing for an hour.
"""

import threading
import time
from collections.abc import Callable, Mapping

from bookwheel_runtime.health_server import Progress
from bookwheel_runtime.logs import get_logger
from kombu.exceptions import OperationalError

_TICK = 0.05  # seconds
_log = get_logger(__name__)


class Beat:
    """`nudge` sends one task's nudge; `periods` are seconds by the task's name. While the broker is away nudges are
    skipped, not made up for. `progress` is noted at every tick.
    """

    def __init__(self, nudge: Callable[[str], None], periods: Mapping[str, float], progress: Progress) -> None:
        self._nudge = nudge
        self._periods = periods
        self._due = dict.fromkeys(periods, 0.0)
        self._progress = progress
        self._away: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        while not stop.wait(_TICK):
            self.tick(time.monotonic())
            self._progress.record()

    def fault(self) -> str | None:
        """Why nudges do not arrive; None where they do."""
        return self._away

    def tick(self, now: float) -> None:
        for name, due in self._due.items():
            if now >= due:
                self._due[name] = now + self._periods[name]
                self._send(name)

    def _send(self, name: str) -> None:
        try:
            self._nudge(name)
        except (OperationalError, OSError) as error:
            if self._away is None:
                _log.warning("the broker is away", error=str(error)[:500])
            self._away = f"the broker is away: {str(error)[:500]}"
        else:
            self._away = None

"""The scheduler triggers each task at its period, and skips triggers while the broker is unavailable."""

from collections import Counter

from bookwheel_processor.worker.scheduler import MonotonicScheduler
from bookwheel_runtime.health_server import Progress
from kombu.exceptions import OperationalError


def test_each_task_is_triggered_at_its_period() -> None:
    sent: list[str] = []
    scheduler = MonotonicScheduler(sent.append, {"often": 0.5, "rarely": 2.0}, Progress())
    for step in range(41):
        scheduler.tick(100 + step / 10)
    assert Counter(sent) == {"often": 9, "rarely": 3}


def test_triggers_are_not_sent_later_after_the_broker_was_unavailable() -> None:
    sent: list[str] = []
    is_unavailable = True

    def trigger(name: str) -> None:
        if is_unavailable:
            raise OperationalError("refused")
        sent.append(name)

    scheduler = MonotonicScheduler(trigger, {"often": 0.5}, Progress())
    for step in range(20):
        scheduler.tick(100 + step)
    is_unavailable = False
    error = scheduler.get_error()
    assert error is not None
    assert "refused" in error
    scheduler.tick(200)
    scheduler.tick(200.1)
    assert sent == ["often"]
    assert scheduler.get_error() is None

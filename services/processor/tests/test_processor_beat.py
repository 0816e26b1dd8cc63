from collections import Counter

from bookwheel_processor.worker.scheduler import MonotonicScheduler
from bookwheel_runtime.health_server import Progress
from kombu.exceptions import OperationalError


def test_each_task_is_triggered_at_its_period() -> None:
    sent: list[str] = []
    beat = MonotonicScheduler(sent.append, {"often": 0.5, "rarely": 2.0}, Progress())
    for step in range(41):
        beat.tick(100 + step / 10)
    assert Counter(sent) == {"often": 9, "rarely": 3}


def test_triggers_missed_while_the_broker_was_unavailable_are_not_made_up_for() -> None:
    sent: list[str] = []
    away = True

    def trigger(name: str) -> None:
        if away:
            raise OperationalError("refused")
        sent.append(name)

    beat = MonotonicScheduler(trigger, {"often": 0.5}, Progress())
    for step in range(20):
        beat.tick(100 + step)
    away = False
    error = beat.get_error()
    assert error is not None
    assert "refused" in error
    beat.tick(200)
    beat.tick(200.1)
    assert sent == ["often"]
    assert beat.get_error() is None

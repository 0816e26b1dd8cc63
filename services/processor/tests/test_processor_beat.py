from collections import Counter

from bookwheel_processor.beat import Beat
from kombu.exceptions import OperationalError


def test_each_task_is_nudged_at_its_period() -> None:
    sent: list[str] = []
    beat = Beat(sent.append, {"often": 0.5, "rarely": 2.0})
    for step in range(41):
        beat.tick(100 + step / 10)
    assert Counter(sent) == {"often": 9, "rarely": 3}


def test_nudges_missed_while_the_broker_was_away_are_not_made_up_for() -> None:
    sent: list[str] = []
    away = True

    def nudge(name: str) -> None:
        if away:
            raise OperationalError("refused")
        sent.append(name)

    beat = Beat(nudge, {"often": 0.5})
    for step in range(20):
        beat.tick(100 + step)
    away = False
    beat.tick(200)
    beat.tick(200.1)
    assert sent == ["often"]

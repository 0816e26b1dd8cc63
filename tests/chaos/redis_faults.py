"""A Redis that forgets: Celery's messages, the last of its file, or everything."""

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from bookwheel_contracts.redis_keys import CELERY_KEY_PREFIX
from bookwheel_local.processes import is_alive
from bookwheel_testing.servers import wait_until

from tests.chaos.arena import Arena

_BROKER = f"{CELERY_KEY_PREFIX}*"
_LONGEST_TAIL = 64_000


def empty_broker(arena: Arena, _chance: random.Random) -> None:
    """Nudges that were sent are gone."""
    keys = list(arena.redis.scan_iter(_BROKER, count=1000))
    if keys:
        arena.redis.delete(*keys)


def lose_tail(arena: Arena, chance: random.Random) -> None:
    """What a power cut does to a file whose last second was not on the disk yet: its end is missing, in the middle of a
    command."""

    def cut(folder: Path) -> None:
        newest = max(folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
        size = newest.stat().st_size
        os.truncate(newest, max(0, size - chance.randint(1, _LONGEST_TAIL)))

    _with_redis_dead(arena, cut)


def lose_everything(arena: Arena, _chance: random.Random) -> None:
    _with_redis_dead(arena, lambda folder: shutil.rmtree(folder / "appendonlydir"))


def _with_redis_dead(arena: Arena, change: Callable[[Path], None]) -> None:
    """The supervisor would start it again at once, so it stands still meanwhile."""
    supervisor = arena.suite.supervisor
    keeper, victim = supervisor.pid(), supervisor.states()["redis"].pid
    assert keeper is not None
    os.kill(keeper, signal.SIGSTOP)
    try:
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: not is_alive(victim), seconds=30, what="the end of Redis")
        change(arena.suite.layout.data / "redis")
    finally:
        os.kill(keeper, signal.SIGCONT)
    wait_until(lambda: supervisor.states()["redis"].pid not in {0, victim}, seconds=90, what="a new Redis")

"""Deletes data of Redis: Celery's messages, the end of its file, or everything."""

import os
import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from bookwheel_contracts.redis_keys import CELERY_KEY_PREFIX
from bookwheel_local.processes import is_alive
from bookwheel_testing.servers import wait_until

from tests.chaos.chaos_suite import ChaosSuite

_BROKER = f"{CELERY_KEY_PREFIX}*"
_MAX_TAIL_BYTES = 64_000


def empty_broker(chaos: ChaosSuite, _rng: random.Random) -> None:
    """Deletes the triggers in the queues."""
    keys = list(chaos.redis.scan_iter(_BROKER, count=1000))
    if keys:
        chaos.redis.delete(*keys)


def lose_tail(chaos: ChaosSuite, rng: random.Random) -> None:
    """Cuts the end of the file in the middle of a command, as a power cut does."""

    def cut(folder: Path) -> None:
        newest = max(folder.glob("appendonlydir/*.incr.aof"), key=lambda path: path.stat().st_mtime_ns)
        size = newest.stat().st_size
        os.truncate(newest, max(0, size - rng.randint(1, _MAX_TAIL_BYTES)))

    _while_redis_is_stopped(chaos, cut)


def lose_everything(chaos: ChaosSuite, _rng: random.Random) -> None:
    _while_redis_is_stopped(chaos, lambda folder: shutil.rmtree(folder / "appendonlydir"))


def _while_redis_is_stopped(chaos: ChaosSuite, change: Callable[[Path], None]) -> None:
    """Suspends supervisord meanwhile, because it would restart Redis immediately."""
    supervisor = chaos.suite.supervisor
    supervisord_pid, redis_pid = supervisor.pid(), supervisor.states()["redis"].pid
    assert supervisord_pid is not None
    os.kill(supervisord_pid, signal.SIGSTOP)
    try:
        os.kill(redis_pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(redis_pid), seconds=30, what="the end of Redis")
        change(chaos.suite.layout.data / "redis")
    finally:
        os.kill(supervisord_pid, signal.SIGCONT)
    wait_until(lambda: supervisor.states()["redis"].pid not in {0, redis_pid}, seconds=90, what="the restart of Redis")

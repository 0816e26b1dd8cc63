"""Servers that are restarted in good order, or stand still for a while."""

import os
import random
import signal
import time
from contextlib import suppress

from bookwheel_testing.process_kill import processes
from bookwheel_testing.servers import wait_until

from tests.chaos.arena import Arena

_SIGNALS = {"postgres": signal.SIGINT}


def terminate(server: str, arena: Arena, _chance: random.Random) -> None:
    """The supervisor starts it again."""
    pid = arena.suite.supervisor.states()[server].pid
    os.kill(pid, _SIGNALS.get(server, signal.SIGTERM))
    wait_until(lambda: arena.suite.supervisor.states()[server].pid != pid, seconds=90, what=f"a restart of {server}")


def stall(server: str, arena: Arena, chance: random.Random) -> None:
    """Its connections stay open, and nothing answers."""
    stopped = processes(arena.suite, server)
    for pid in stopped:
        _signal(pid, signal.SIGSTOP)
    time.sleep(chance.uniform(1.0, 4.0))
    for pid in stopped:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

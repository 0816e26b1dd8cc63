"""Servers that are restarted, or suspended for a while."""

import os
import random
import signal
import time
from contextlib import suppress

from bookwheel_testing.process_kill import processes
from bookwheel_testing.servers import wait_until

from tests.chaos.chaos_suite import ChaosSuite

_SIGNALS = {"postgres": signal.SIGINT}


def terminate(server: str, chaos: ChaosSuite, _chance: random.Random) -> None:
    """Ends the server; supervisord restarts it."""
    pid = chaos.suite.supervisor.states()[server].pid
    os.kill(pid, _SIGNALS.get(server, signal.SIGTERM))
    wait_until(lambda: chaos.suite.supervisor.states()[server].pid != pid, seconds=90, what=f"a restart of {server}")


def stall(server: str, chaos: ChaosSuite, rng: random.Random) -> None:
    """Suspends the server: connections stay open without an answer."""
    stopped = processes(chaos.suite, server)
    for pid in stopped:
        _signal(pid, signal.SIGSTOP)
    time.sleep(rng.uniform(1.0, 4.0))
    for pid in stopped:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

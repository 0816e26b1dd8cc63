"""Restarts or suspends servers."""

import os
import random
import signal
import time
from contextlib import suppress

from bookwheel_testing.process_kill import processes
from bookwheel_testing.servers import wait_until

from tests.chaos.chaos_suite import ChaosSuite

_SIGNALS = {"postgres": signal.SIGINT}


def terminate(server: str, chaos: ChaosSuite, _rng: random.Random) -> None:
    """Terminates the server. supervisord restarts it."""
    pid = chaos.suite.supervisor.states()[server].pid
    os.kill(pid, _SIGNALS.get(server, signal.SIGTERM))
    wait_until(lambda: chaos.suite.supervisor.states()[server].pid != pid, seconds=90, what=f"the restart of {server}")


def stall(server: str, chaos: ChaosSuite, rng: random.Random) -> None:
    """Suspends the server. Connections stay open without a response."""
    pids = processes(chaos.suite, server)
    for pid in pids:
        _signal(pid, signal.SIGSTOP)
    time.sleep(rng.uniform(1.0, 4.0))
    for pid in pids:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)

"""The processes and ports of one suite. Reads /proc, so it needs Linux."""

import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bookwheel_local.layout import HOST, PROCESS_MARKER

_PROGRAMS_WITHOUT_ENVIRONMENT = frozenset({"nginx", "redis-server"})


def is_alive(pid: int) -> bool:
    """Whether the process runs. A zombie does not run."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def suite_processes(state_dir: Path) -> list[int]:
    """Returns the ids of all processes with the suite's state folder in their environment.

    nginx and Redis write their process title over their environment. Their name and working directory identify them.
    """
    variable = f"{PROCESS_MARKER}={state_dir}".encode()
    pids = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # the process has ended, or belongs to another user
            belongs_to_suite = variable in (entry / "environ").read_bytes().split(b"\0") or (
                (entry / "comm").read_text().strip() in _PROGRAMS_WITHOUT_ENVIRONMENT
                and (entry / "cwd").readlink().is_relative_to(state_dir)
            )
            if belongs_to_suite and is_alive(int(entry.name)):
                pids.append(int(entry.name))
    return sorted(pids)


def wait_for_end(pids: Sequence[int], *, seconds: float) -> list[int]:
    """Waits until the processes have ended. Returns the ids of the processes that still run after `seconds`."""
    deadline = time.monotonic() + seconds
    running = list(pids)
    while (running := [pid for pid in running if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return running


def terminate(pids: Sequence[int], *, seconds: float) -> list[int]:
    """Sends SIGTERM, and SIGKILL after `seconds`. Returns the ids of the processes that still run."""
    running = list(pids)
    for signal_number, timeout_seconds in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        running = wait_for_end(running, seconds=timeout_seconds)
    return running


def port_is_free(port: int) -> bool:
    """Whether a server can listen on the loopback port. Connections in TIME_WAIT do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True

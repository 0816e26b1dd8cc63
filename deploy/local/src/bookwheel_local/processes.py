"""The machine's processes and ports, as far as they concern one suite (Linux: read from /proc)."""

import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from bookwheel_local.layout import HOST, MARKER

_TITLED = frozenset({"nginx", "redis-server"})


def alive(pid: int) -> bool:
    """Whether the process runs; one that ended and waits for its parent (a zombie) does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def suite_processes(state: Path) -> list[int]:
    """Ids of the processes that carry the suite's marker, whoever their parent is now.

    nginx and Redis write their title over their environment: they are known by their name and by where they stand.
    """
    marker = f"{MARKER}={state}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # it ended meanwhile, or belongs to another user
            ours = marker in (entry / "environ").read_bytes().split(b"\0") or (
                (entry / "comm").read_text().strip() in _TITLED and (entry / "cwd").readlink().is_relative_to(state)
            )
            if ours and alive(int(entry.name)):
                found.append(int(entry.name))
    return sorted(found)


def wait_for_end(pids: Sequence[int], *, seconds: float) -> list[int]:
    """Waits until the processes have ended; returns those that have not within `seconds`."""
    deadline = time.monotonic() + seconds
    left = list(pids)
    while (left := [pid for pid in left if alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def end(pids: Sequence[int], *, seconds: float) -> list[int]:
    """SIGTERM, and SIGKILL to what is left after `seconds`; returns what even that did not end."""
    left = list(pids)
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        left = wait_for_end(left, seconds=patience)
    return left


def port_is_free(port: int) -> bool:
    """Whether a server could listen on the loopback port now (connections in TIME_WAIT do not count)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True

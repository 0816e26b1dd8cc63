"""Finds processes of a running suite by their role, and kills them with SIGKILL."""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

from bookwheel_local.processes import suite_processes

from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite_under_test import SuiteUnderTest

CRAWL, WORKER, INDEX_WRITER = "crawl", "worker", "index writer"
"""Roles that are not programs of supervisord, or have several processes."""


def processes(suite: SuiteUnderTest, role: str) -> list[int]:
    """Returns the process ids of `CRAWL`, `WORKER` or `INDEX_WRITER`, or of a program and its children."""
    if role == CRAWL:
        return [pid for pid in suite_processes(suite.state) if "bookwheel_scraper.crawl.process" in command_line(pid)]
    if role == INDEX_WRITER:
        return _lock_holders(suite.state / "run" / "processor-project.lock")
    program = suite.supervisor.states().get("processor-worker" if role == WORKER else role)
    if program is None or program.pid == 0:
        return []
    return [program.pid, *_children(program.pid)]


def kill(suite: SuiteUnderTest, role: str, rng: random.Random, *, seconds: float = 10) -> int:
    """Waits for a process of the role, kills it and returns its id. Raises TimeoutError."""
    killed: list[int] = []

    def try_kill() -> bool:
        candidates = processes(suite, role)
        if not candidates:
            return False
        pid = rng.choice(candidates)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return bool(killed)

    wait_until(try_kill, seconds=seconds, what=f"the kill of {role}")
    return killed[0]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    children: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                children += [int(child), *_children(int(child))]
    return children


def _lock_holders(lock: Path) -> list[int]:
    with suppress(OSError):
        inode = lock.stat().st_ino
        locks = [fields.split() for fields in Path("/proc/locks").read_text().splitlines()]
        return [int(line[4]) for line in locks if line[1] == "FLOCK" and line[5].endswith(f":{inode}")]
    return []

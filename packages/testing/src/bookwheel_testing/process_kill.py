"""Finds the processes of a running suite by the part that they play, and ends them as a crash would."""

import os
import random
import signal
from contextlib import suppress
from pathlib import Path

from bookwheel_local.processes import suite_processes

from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite import Suite

CRAWL, WORKER, INDEX_WRITER = "crawl", "worker", "index writer"
"""Parts that are no program of the supervisor's, or more than one process of one."""


def processes(suite: Suite, part: str) -> list[int]:
    """Those of `CRAWL`, `WORKER` (with its children), `INDEX_WRITER`, or of a program and its children by its name."""
    if part == CRAWL:
        return [pid for pid in suite_processes(suite.state) if "bookwheel_scraper.crawl.process" in command_line(pid)]
    if part == INDEX_WRITER:
        return _holders(suite.state / "run" / "processor-project.lock")
    program = suite.supervisor.states().get("processor-worker" if part == WORKER else part)
    if program is None or program.pid == 0:
        return []
    return [program.pid, *_children(program.pid)]


def kill(suite: Suite, part: str, chance: random.Random, *, seconds: float = 10) -> int:
    """SIGKILL to one of the part's processes, as soon as there is one; its id. Raises TimeoutError where none comes."""
    killed: list[int] = []

    def done() -> bool:
        found = processes(suite, part)
        if not found:
            return False
        pid = chance.choice(found)
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)
        return bool(killed)

    wait_until(done, seconds=seconds, what=f"a kill of {part}")
    return killed[0]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in task.read_text().split():
                found += [int(child), *_children(int(child))]
    return found


def _holders(lock: Path) -> list[int]:
    with suppress(OSError):
        inode = lock.stat().st_ino
        held = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        return [int(line[4]) for line in held if line[1] == "FLOCK" and line[5].endswith(f":{inode}")]
    return []

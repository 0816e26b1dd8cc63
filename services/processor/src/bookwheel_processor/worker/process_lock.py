"""Locks between the processes of one machine. The kernel releases them when a process ends, even after a SIGKILL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def process_lock(folder: Path, name: str) -> Iterator[bool]:
    """Yield whether this process acquired the lock. Does not wait for it."""
    with numbered_process_lock(folder, name, 1) as number:
        yield number is not None


@contextmanager
def numbered_process_lock(folder: Path, name: str, count: int) -> Iterator[int | None]:
    """Yield the number, from 0, of the first free one of `count` locks, or None if all are locked."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        file_name = f"processor-{name}-{number}.lock" if number else f"processor-{name}.lock"
        lock = FileLock(folder / file_name, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            yield number
        finally:
            lock.release()
        return
    yield None

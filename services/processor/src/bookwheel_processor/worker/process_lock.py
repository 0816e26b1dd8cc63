"""Locks between the processes of one machine. The kernel releases them when a process ends, even after a SIGKILL."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def process_lock(folder: Path, name: str) -> Iterator[bool]:
    """Yield whether this process acquired the lock. Does not wait for it."""
    with process_slot_lock(folder, name, 1) as slot:
        yield slot is not None


@contextmanager
def process_slot_lock(folder: Path, name: str, slot_count: int) -> Iterator[int | None]:
    """Yield the first free slot, from 0, or None if all slots are locked. Each slot has a lock of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for slot in range(slot_count):
        file_name = f"processor-{name}-{slot}.lock" if slot else f"processor-{name}.lock"
        lock = FileLock(folder / file_name, blocking=False)
        try:
            lock.acquire()
        except Timeout:
            continue
        try:
            yield slot
        finally:
            lock.release()
        return
    yield None

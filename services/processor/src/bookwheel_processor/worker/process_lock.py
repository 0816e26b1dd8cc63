"""One holder of a task at a time on a machine, or so many of them."""

import fcntl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path


@contextmanager
def slot(folder: Path, name: str) -> Iterator[bool]:
    """Whether this process got the slot; the kernel frees it however the process ends, a SIGKILL included."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"processor-{name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def numbered_slot(folder: Path, name: str, count: int) -> Iterator[int | None]:
    """The number of the first of `count` slots that was free, from 0; None where none was."""
    with ExitStack() as stack:
        for number in range(count):
            if stack.enter_context(slot(folder, f"{name}-{number}" if number else name)):
                yield number
                return
        yield None

"""One holder of a task at a time on a machine."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
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

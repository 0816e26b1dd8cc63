"""When a process looks for garbage: rarely while it serves for days, and not at all while it starts."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Around a program's imports: they make a great many objects and hardly a cycle, and looking for some took a sixth
    of the time. What was made is not looked at later, either.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def collect_garbage_rarely() -> None:
    """To be called once everything is imported and set up.

    What a batch or a request makes is free by reference count. Looking for cycles among it, and among the imported
    modules again and again, took a sixth of the ingest's time.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)

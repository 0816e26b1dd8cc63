"""Makes the next item while the last one is being used: reading and parsing beside writing."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")
_END: Any = object()


def prefetched(items: Iterable[T]) -> Iterator[T]:
    """The same items, each made by another thread before it is asked for."""
    remaining = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix="prefetch") as pool:
        coming = pool.submit(next, remaining, _END)
        while (item := coming.result()) is not _END:
            coming = pool.submit(next, remaining, _END)
            yield item

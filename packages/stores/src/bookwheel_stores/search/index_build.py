"""The port through which a new index takes the place of the one that serves."""

from types import TracebackType
from typing import Protocol, Self

from bookwheel_stores.search.index_writer import IndexContents


class IndexBuild(IndexContents, Protocol):
    """A new, empty index that nobody is served from. Also a context manager that closes it."""

    def hold(self) -> None:
        """From here until `close`, nobody else writes to the index that serves, where the engine has one writer.

        Where it has many, they go on: what they write to the old index has to be applied again after `publish`. Raises
        IndexBusy while another writer is open.
        """
        ...

    def publish(self) -> None:
        """Readers, from their next reload on, and new writers get this index, in one step."""
        ...

    def close(self) -> None:
        """Removes what is not needed any more: the old index, or this one where it was not published."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

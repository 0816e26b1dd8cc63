"""The folders of a Tantivy index: one serves, another may be about to take its place."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bookwheel_contracts import BookState

from bookwheel_stores.search.digests import RangeSum
from bookwheel_stores.search.index_writer import RejectedBook
from bookwheel_stores.search.tantivy.schema import MAPPING, index_folder, pointer
from bookwheel_stores.search.tantivy.writer import TantivyIndexWriter

_READERS_SECONDS = 0.2  # for readers on the way into the old folder; those that are in it keep its files open


def open_writer(path: Path) -> TantivyIndexWriter:
    """A writer of the folder that serves. Raises IndexBusy."""
    while True:
        folder = index_folder(path)
        writer = TantivyIndexWriter(folder)
        if index_folder(path) == folder:  # nobody replaces it while its writer is open
            return writer
        writer.close()


class TantivyIndexBuild:
    """See `IndexBuild`. One at a time: it removes what an earlier one, that was killed, left behind."""

    def __init__(self, path: Path) -> None:
        self._path = path
        serving = index_folder(path)
        numbers = [0]
        for folder in path.glob(f"{MAPPING}-*"):
            numbers.append(int(folder.name.rpartition("-")[2]))
            if folder != serving:
                shutil.rmtree(folder, ignore_errors=True)
        self._folder = path / f"{MAPPING}-{max(numbers) + 1}"
        self._writer = TantivyIndexWriter(self._folder)
        self._held: TantivyIndexWriter | None = None
        self._replaced: Path | None = None

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        return self._writer.apply(books, commit=commit)

    def count(self) -> int:
        return self._writer.count()

    def sums(self) -> dict[int, RangeSum]:
        return self._writer.sums()

    def digests(self, numbers: range) -> dict[int, int]:
        return self._writer.digests(numbers)

    def hold(self) -> None:
        if self._held is None:
            self._held = open_writer(self._path)

    def publish(self) -> None:
        if self._held is None:
            raise ValueError("hold the index that serves before another takes its place")
        replaced = index_folder(self._path)
        aside = pointer(self._path).with_suffix(".new")
        with aside.open("w") as file:
            file.write(self._folder.name)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(pointer(self._path))
        self._replaced = replaced

    def close(self) -> None:
        self._writer.close()
        if self._held is not None:
            self._held.close()
        if self._replaced is not None:
            time.sleep(_READERS_SECONDS)
            shutil.rmtree(self._replaced, ignore_errors=True)
        elif self._folder != index_folder(self._path):
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Build a new Tantivy folder and switch readers to it."""

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from bookwheel_contracts import BookState

from bookwheel_stores.search.fields import TANTIVY_INDEX
from bookwheel_stores.search.ports import RangeSum, RejectedBook
from bookwheel_stores.search.tantivy.schema import index_folder, pointer_file
from bookwheel_stores.search.tantivy.writer import TantivyIndexWriter, open_writer

_CLEANUP_DELAY_SECONDS = 0.2
"""Readers that have read the name of the old folder open it in this time. Open files stay readable."""


class TantivyIndexBuild:
    """See `IndexBuild`. Only one build may run, because it deletes the folders of earlier builds that were killed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        serving = index_folder(path)
        numbers = [0]
        for folder in path.glob(f"{TANTIVY_INDEX}-*"):
            numbers.append(int(folder.name.rpartition("-")[2]))
            if folder != serving:
                shutil.rmtree(folder, ignore_errors=True)
        self._folder = path / f"{TANTIVY_INDEX}-{max(numbers) + 1}"
        self._writer = TantivyIndexWriter(self._folder)
        self._serving_writer: TantivyIndexWriter | None = None
        self._replaced: Path | None = None

    def apply(self, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        return self._writer.apply(books, commit=commit)

    def count(self) -> int:
        return self._writer.count()

    def range_sums(self) -> dict[int, RangeSum]:
        return self._writer.range_sums()

    def digests(self, numbers: range) -> dict[int, int]:
        return self._writer.digests(numbers)

    def lock(self) -> None:
        if self._serving_writer is None:
            self._serving_writer = open_writer(self._path)

    def publish(self) -> None:
        if self._serving_writer is None:
            raise ValueError("lock the serving index before publishing another")
        replaced = index_folder(self._path)
        pointer = pointer_file(self._path)
        new_pointer = pointer.with_suffix(".new")
        with new_pointer.open("w") as file:
            file.write(self._folder.name)
            file.flush()
            os.fsync(file.fileno())
        new_pointer.replace(pointer)
        self._replaced = replaced

    def close(self) -> None:
        self._writer.close()
        if self._serving_writer is not None:
            self._serving_writer.close()
        if self._replaced is not None:
            time.sleep(_CLEANUP_DELAY_SECONDS)
            shutil.rmtree(self._replaced, ignore_errors=True)
        elif self._folder != index_folder(self._path):
            shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

"""Build a new Tantivy folder and switch readers to it."""

import os
import shutil
import time
from pathlib import Path

from bookwheel_stores.search.fields import TANTIVY_INDEX
from bookwheel_stores.search.ports import IndexBuild
from bookwheel_stores.search.tantivy.schema import index_folder, pointer_file
from bookwheel_stores.search.tantivy.writer import TantivyIndexWriter, open_writer

_CLEANUP_DELAY_SECONDS = 0.2
"""Readers that have read the name of the old folder open it in this time. Open files stay readable."""


class TantivyIndexBuild(TantivyIndexWriter, IndexBuild):
    """Writes to a new folder, see `IndexBuild`.

    Only one build may run, because it deletes the folders of earlier builds that were killed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        serving = index_folder(path)
        numbers = [0]
        for folder in path.glob(f"{TANTIVY_INDEX}-*"):
            numbers.append(int(folder.name.rpartition("-")[2]))
            if folder != serving:
                shutil.rmtree(folder, ignore_errors=True)
        self._folder = path / f"{TANTIVY_INDEX}-{max(numbers) + 1}"
        super().__init__(self._folder)
        self._serving_writer: TantivyIndexWriter | None = None
        self._replaced: Path | None = None

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
        super().close()
        if self._serving_writer is not None:
            self._serving_writer.close()
        if self._replaced is not None:
            time.sleep(_CLEANUP_DELAY_SECONDS)
            shutil.rmtree(self._replaced, ignore_errors=True)
        elif self._folder != index_folder(self._path):
            shutil.rmtree(self._folder, ignore_errors=True)

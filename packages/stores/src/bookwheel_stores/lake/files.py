"""Reads and writes files in the lake. A file is either complete or absent."""

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from pyarrow.fs import FileInfo, FileSelector, FileType

from bookwheel_stores.lake.address import LakeAddress

_SCRATCH_FOLDER = ".aside"
_PART_BYTES = 5 << 20
"""The maximum number of bytes that pyarrow sends in one request."""


class LakeError(OSError):
    """The lake is unavailable, rejects a request, or lacks a file."""


class LakeFileNotFoundError(LakeError):
    pass


@dataclass(frozen=True, slots=True)
class LakeFile:
    """`path` is relative to the root of the lake. `size` is in bytes. `modified` is the time of publication."""

    path: str
    size: int
    modified: datetime


class Lake:
    """Files in a folder or a bucket. Paths are relative to its root and have no `.` or `..`.

    A file is written locally and then published atomically: in a folder by a rename after a flush to the disk, in
    a bucket by one request. Publishing under an existing name replaces the file. In a folder, readers of the old
    file still read its content.
    """

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        self._filesystem = address.filesystem()

    @contextmanager
    def open_for_write(self, path: str) -> Iterator[IO[bytes]]:
        """Yields a seekable file. It is published as `path` at the end of the `with`, or discarded after an exception.

        Raises LakeError if it cannot be published. Then `path` is unchanged.
        """
        target, folder = self._full(path), self.address.folder
        if folder is None:
            with tempfile.TemporaryFile() as unnamed_file:  # a killed process leaves no file
                yield unnamed_file
                unnamed_file.flush()
                with lake_errors(path):
                    self._upload(unnamed_file, target)
            return
        with tempfile.NamedTemporaryFile(
            dir=_scratch_folder(folder), prefix="bookwheel-lake-", delete=False
        ) as temporary:
            try:
                yield temporary
                temporary.flush()
                with lake_errors(path):
                    os.fsync(temporary.fileno())
                    _rename(Path(temporary.name), Path(target))
            finally:
                Path(temporary.name).unlink(missing_ok=True)

    def write(self, path: str, content: bytes) -> None:
        with self.open_for_write(path) as file:
            file.write(content)

    def open(self, path: str) -> Any:
        """Opens a file for random access as a `pyarrow.NativeFile`. Raises LakeFileNotFoundError, LakeError."""
        with lake_errors(path):
            return self._filesystem.open_input_file(self._full(path))

    def read(self, path: str) -> bytes:
        with self.open(path) as file, lake_errors(path):
            content: bytes = file.read()
            return content

    def size(self, path: str) -> int | None:
        """Returns the size in bytes; None if the file does not exist."""
        with lake_errors(path):
            info: FileInfo = self._filesystem.get_file_info(self._full(path))
        return int(info.size) if info.type == FileType.File else None

    def list(self, folder: str) -> list[LakeFile]:
        """Returns all files in a folder and its subfolders, by path. The folder may be missing."""
        start = len(self.address.root) + 1
        with lake_errors(folder):
            infos = self._filesystem.get_file_info(
                FileSelector(self._full(folder), allow_not_found=True, recursive=True)
            )
        files = [
            LakeFile(info.path[start:], int(info.size), info.mtime) for info in infos if info.type == FileType.File
        ]
        return sorted(files, key=lambda file: file.path)

    def delete(self, paths: Sequence[str]) -> None:
        """Deletes files. A missing file is not an error."""
        for path in paths:
            try:
                with lake_errors(path):
                    self._filesystem.delete_file(self._full(path))
            except LakeFileNotFoundError:
                continue

    def delete_scratch_files(self, *, before: datetime) -> int:
        """Deletes files older than `before` from the scratch folder. Returns their number.

        Writers that were killed leave such files.
        """
        scratch = f"{self.address.root}/{_SCRATCH_FOLDER}"
        with lake_errors(_SCRATCH_FOLDER):
            infos = self._filesystem.get_file_info(FileSelector(scratch, allow_not_found=True, recursive=True))
            orphans = [info.path for info in infos if info.type == FileType.File and info.mtime < before]
            for path in orphans:
                self._filesystem.delete_file(path)
        return len(orphans)

    def _full(self, path: str) -> str:
        parts = path.split("/")
        if any(part in {"", ".", ".."} or "\0" in part for part in parts) or parts[0] == _SCRATCH_FOLDER:
            raise ValueError(f"not a path in the lake: {path!r}")
        return f"{self.address.root}/{path}"

    def _upload(self, temporary: IO[bytes], target: str) -> None:
        """Publishes a file atomically.

        A small file needs one request. A large file needs several, and if the last request fails, pyarrow may complete
        the upload with partial content. A large file is therefore uploaded to a scratch name and copied in one request.
        """
        size = os.fstat(temporary.fileno()).st_size
        if size <= _PART_BYTES:
            self._send(temporary, target)
            return
        scratch = f"{self.address.root}/{_SCRATCH_FOLDER}/{uuid4().hex}"
        self._send(temporary, scratch)
        sent = self._filesystem.get_file_info(scratch).size
        if sent != size:
            raise LakeError(f"the lake stored {sent} of {size} bytes")
        self._filesystem.move(scratch, target)

    def _send(self, temporary: IO[bytes], target: str) -> None:
        temporary.seek(0)
        with self._filesystem.open_output_stream(target) as stream:
            while part := temporary.read(_PART_BYTES):
                stream.write(part)


def _scratch_folder(folder: Path) -> Path:
    """Returns a folder on the same file system, so that a rename is atomic."""
    scratch = folder / _SCRATCH_FOLDER
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _rename(temporary: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o644)
    temporary.replace(target)
    fsync(target.parent)


def fsync(path: Path) -> None:
    """Flushes a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lake_errors(path: str) -> Iterator[None]:
    """Converts the errors of pyarrow to LakeError."""
    try:
        yield
    except FileNotFoundError as error:
        raise LakeFileNotFoundError(f"the lake has no {path}") from error
    except LakeError:
        raise
    except OSError as error:
        raise LakeError(f"the lake failed at {path}: {error_text(error)}") from error


def error_text(error: Exception) -> str:
    """Returns the message on one line, because messages of `deltalake` have several lines and color codes."""
    return re.sub(r"\s*(?:\x1b\[\d*m|↳|\n)+\s*", " ", str(error)).strip()

"""Files in the lake, each complete or absent, whatever happens while it is written."""

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

_SCRATCH = ".aside"
_PIECE = 5 << 20
"""The most bytes that pyarrow sends in one request."""


class LakeError(OSError):
    """The lake is unavailable, refuses a request, or lacks a file."""


class LakeFileNotFoundError(LakeError):
    pass


@dataclass(frozen=True, slots=True)
class LakeFile:
    """`path` is relative to the lake's root, with slashes; `size` in bytes; `modified` when it was published."""

    path: str
    size: int
    modified: datetime


class Lake:
    """Files under a root, in a folder or a bucket. Paths are relative to it and have no `.` or `..`.

    A file is written locally first. Then it is published in one step: in a folder it is flushed to the disk and
    renamed, in a bucket it is one request. Publishing under an existing name replaces the file. In a folder, readers
    keep the old content.
    """

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        self._filesystem = address.filesystem()

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """A seekable file, published as `path` at the end of the `with`, or discarded if it raises.

        Raises LakeError if it can't be published: then `path` is unchanged.
        """
        target, folder = self._full(path), self.address.folder
        if folder is None:
            with tempfile.TemporaryFile() as nameless:  # a killed process leaves nothing on this machine
                yield nameless
                nameless.flush()
                with lake_errors(path):
                    self._upload(nameless, target)
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
        with self.writing(path) as file:
            file.write(content)

    def open(self, path: str) -> Any:
        """The file for reading at random, as a `pyarrow.NativeFile`. Raises LakeFileNotFoundError, LakeError."""
        with lake_errors(path):
            return self._filesystem.open_input_file(self._full(path))

    def read(self, path: str) -> bytes:
        with self.open(path) as file, lake_errors(path):
            content: bytes = file.read()
            return content

    def size(self, path: str) -> int | None:
        """In bytes; None if there is no such file."""
        with lake_errors(path):
            info: FileInfo = self._filesystem.get_file_info(self._full(path))
        return int(info.size) if info.type == FileType.File else None

    def list(self, folder: str) -> list[LakeFile]:
        """All files under a folder, by path; none if it does not exist."""
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
        """Missing files are no error."""
        for path in paths:
            try:
                with lake_errors(path):
                    self._filesystem.delete_file(self._full(path))
            except LakeFileNotFoundError:
                continue

    def sweep(self, *, before: datetime) -> int:
        """Removes what killed writers left in the scratch folder before that time; returns how many files."""
        scratch = f"{self.address.root}/{_SCRATCH}"
        with lake_errors(_SCRATCH):
            infos = self._filesystem.get_file_info(FileSelector(scratch, allow_not_found=True, recursive=True))
            left = [info.path for info in infos if info.type == FileType.File and info.mtime < before]
            for path in left:
                self._filesystem.delete_file(path)
        return len(left)

    def _full(self, path: str) -> str:
        parts = path.split("/")
        if any(part in {"", ".", ".."} or "\0" in part for part in parts) or parts[0] == _SCRATCH:
            raise ValueError(f"not a path in the lake: {path!r}")
        return f"{self.address.root}/{path}"

    def _upload(self, temporary: IO[bytes], target: str) -> None:
        """A small file is one request. A large one is many: if the last of them fails, pyarrow may complete the upload
        with what it has sent. So a large file goes to a scratch name and is copied, which is one request again.
        """
        size = os.fstat(temporary.fileno()).st_size
        if size <= _PIECE:
            self._send(temporary, target)
            return
        scratch = f"{self.address.root}/{_SCRATCH}/{uuid4().hex}"
        self._send(temporary, scratch)
        sent = self._filesystem.get_file_info(scratch).size
        if sent != size:
            raise LakeError(f"the lake holds {sent} of {size} bytes that were sent")
        self._filesystem.move(scratch, target)

    def _send(self, temporary: IO[bytes], target: str) -> None:
        temporary.seek(0)
        with self._filesystem.open_output_stream(target) as stream:
            while piece := temporary.read(_PIECE):
                stream.write(piece)


def _scratch_folder(folder: Path) -> Path:
    """On the same file system, so that a rename is not a copy."""
    scratch = folder / _SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    return scratch


def _rename(temporary: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o644)
    temporary.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def lake_errors(path: str) -> Iterator[None]:
    """Turns pyarrow's errors into LakeError."""
    try:
        yield
    except FileNotFoundError as error:
        raise LakeFileNotFoundError(f"the lake has no {path}") from error
    except LakeError:
        raise
    except OSError as error:
        raise LakeError(f"the lake failed at {path}: {error_text(error)}") from error


def error_text(error: Exception) -> str:
    """The message on one line; `deltalake` writes coloured arrows on several."""
    return re.sub(r"\s*(?:\x1b\[\d*m|↳|\n)+\s*", " ", str(error)).strip()

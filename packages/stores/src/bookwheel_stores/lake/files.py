"""The lake's files: complete or not there, whatever happens while they are written."""

import os
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

_ASIDE = ".aside"
_PIECE = 5 << 20
"""Up to so many bytes pyarrow sends in one request."""


class LakeError(OSError):
    """The lake does not answer, refuses, or does not hold what was asked for."""


class LakeFileNotFoundError(LakeError):
    pass


@dataclass(frozen=True, slots=True)
class LakeFile:
    """`path` is relative to the lake's root, with slashes; `size` in bytes; `modified` when it was published."""

    path: str
    size: int
    modified: datetime


class Lake:
    """Files under a root, in a folder or an S3-compatible bucket. Paths are relative to it and have no `.` or `..`.

    A file is made on this side first, where a failure leaves nothing behind. Then it is published in one step: in a
    folder it is flushed to the disk and renamed, in a bucket it is one request.
    Publishing under a name that is taken replaces the file; whoever reads the old one goes on reading it.
    """

    def __init__(self, address: LakeAddress) -> None:
        self.address = address
        self._filesystem = address.filesystem()

    @contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """A seekable file that is published as `path` when the `with` ends well, and forgotten when it does not.

        Raises LakeError when it can't be published: then `path` is as it was before.
        """
        target, folder = self._full(path), self.address.folder
        if folder is None:
            with tempfile.TemporaryFile() as nameless:  # whoever is killed leaves nothing on this machine
                yield nameless
                nameless.flush()
                with _told(path):
                    self._upload(nameless, target)
            return
        with tempfile.NamedTemporaryFile(dir=_scratch(folder), prefix="bookwheel-lake-", delete=False) as made:
            try:
                yield made
                made.flush()
                with _told(path):
                    os.fsync(made.fileno())
                    _rename(Path(made.name), Path(target))
            finally:
                Path(made.name).unlink(missing_ok=True)

    def write(self, path: str, content: bytes) -> None:
        with self.writing(path) as file:
            file.write(content)

    def open(self, path: str) -> Any:
        """The file for reading at random, as a `pyarrow.NativeFile`. Raises NotInLake, LakeError."""
        with _told(path):
            return self._filesystem.open_input_file(self._full(path))

    def read(self, path: str) -> bytes:
        with self.open(path) as file, _told(path):
            content: bytes = file.read()
            return content

    def size(self, path: str) -> int | None:
        """In bytes; None where there is no such file."""
        with _told(path):
            info: FileInfo = self._filesystem.get_file_info(self._full(path))
        return int(info.size) if info.type == FileType.File else None

    def list(self, folder: str) -> list[LakeFile]:
        """All files under a folder, by path; none where it does not exist."""
        start = len(self.address.root) + 1
        with _told(folder):
            found = self._filesystem.get_file_info(
                FileSelector(self._full(folder), allow_not_found=True, recursive=True)
            )
        files = [
            LakeFile(info.path[start:], int(info.size), info.mtime) for info in found if info.type == FileType.File
        ]
        return sorted(files, key=lambda file: file.path)

    def delete(self, paths: Sequence[str]) -> None:
        """Those that are gone already are no error."""
        for path in paths:
            try:
                with _told(path):
                    self._filesystem.delete_file(self._full(path))
            except LakeFileNotFoundError:
                continue

    def check(self) -> None:
        """Raises LakeError, which says why, while files can't be listed here."""
        folder = self.address.folder
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        with _told(self.address.url):
            self._filesystem.get_file_info(FileSelector(self._full("bronze"), allow_not_found=True, recursive=False))

    def sweep(self, *, before: datetime) -> int:
        """Removes what killed writers left aside before that time; returns how many files."""
        aside = f"{self.address.root}/{_ASIDE}"
        with _told(_ASIDE):
            found = self._filesystem.get_file_info(FileSelector(aside, allow_not_found=True, recursive=True))
            left = [info.path for info in found if info.type == FileType.File and info.mtime < before]
            for path in left:
                self._filesystem.delete_file(path)
        return len(left)

    def _full(self, path: str) -> str:
        parts = path.split("/")
        if any(part in {"", ".", ".."} or "\0" in part for part in parts) or parts[0] == _ASIDE:
            raise ValueError(f"not a path in the lake: {path!r}")
        return f"{self.address.root}/{path}"

    def _upload(self, made: IO[bytes], target: str) -> None:
        """A small file is one request. A large one is many: were the last of them to fail, pyarrow could complete what
        it has sent, so it goes to a name aside and is copied, which is one request again.
        """
        size = os.fstat(made.fileno()).st_size
        if size <= _PIECE:
            self._send(made, target)
            return
        aside = f"{self.address.root}/{_ASIDE}/{uuid4().hex}"
        self._send(made, aside)
        sent = self._filesystem.get_file_info(aside).size
        if sent != size:
            raise LakeError(f"{size} bytes were sent to the lake and it holds {sent}")
        self._filesystem.move(aside, target)

    def _send(self, made: IO[bytes], target: str) -> None:
        made.seek(0)
        with self._filesystem.open_output_stream(target) as stream:
            while piece := made.read(_PIECE):
                stream.write(piece)


def _scratch(folder: Path) -> Path:
    """On the same disk: a rename must not become a copy."""
    aside = folder / _ASIDE
    aside.mkdir(parents=True, exist_ok=True)
    return aside


def _rename(made: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    made.chmod(0o644)
    made.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _told(path: str) -> Iterator[None]:
    """pyarrow's own errors are OSErrors of every kind, and some that are none."""
    try:
        yield
    except FileNotFoundError as error:
        raise LakeFileNotFoundError(f"the lake has no {path}") from error
    except LakeError:
        raise
    except OSError as error:
        raise LakeError(f"the lake failed at {path}: {error}") from error

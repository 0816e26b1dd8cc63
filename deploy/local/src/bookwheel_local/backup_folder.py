"""The folder of a backup: files, and a manifest of their sizes and SHA-256 digests.

A backup gets its name when it is complete.
"""

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from bookwheel_contracts.model import Contract, Timestamp
from pydantic import ValidationError

from bookwheel_local.errors import LocalError
from bookwheel_local.settings import EngineSet, LakeStore

MANIFEST = "manifest.json"
FORMAT = 1
_CHUNK = 1 << 20


class BackupInvalidError(LocalError):
    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder} can't be restored: {reason}. Nothing was changed.")


class BackupFile(Contract):
    size: int
    sha256: str


class Manifest(Contract):
    """`version` is the version of Bookwheel that wrote the backup. `data` is the path of the copied data folder."""

    format: int
    version: str
    created_at: Timestamp
    engines: EngineSet
    lake: LakeStore
    data: str
    files: dict[str, BackupFile]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files.values())


@contextmanager
def create_backup_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder with mode 0700. It is renamed to `folder` if the `with` block succeeds."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LocalError(f"{folder} is not empty: use a new folder for each backup")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield temporary
        temporary.replace(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_manifest(folder: Path, *, version: str, engines: EngineSet, lake: LakeStore, data: Path) -> Manifest:
    """Reads every file of the folder again to compute its digest, and flushes it to the disk."""
    manifest = Manifest(
        format=FORMAT,
        version=version,
        created_at=datetime.now(UTC),
        engines=engines,
        lake=lake,
        data=str(data),
        files={str(path.relative_to(folder)): _describe(path) for path in _files(folder)},
    )
    with (folder / MANIFEST).open("x") as file:
        file.write(manifest.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return manifest


def read_manifest(folder: Path, *, version: str) -> Manifest:
    """Raises BackupInvalidError for an incomplete backup, another format, or a newer Bookwheel than `version`."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BackupInvalidError(folder, f"it has no {MANIFEST}, so it is not a complete backup") from None
    except (OSError, ValidationError) as error:
        raise BackupInvalidError(folder, f"its {MANIFEST} can't be read ({str(error)[:200]})") from error
    if _numbers(manifest.version) > _numbers(version):
        raise BackupInvalidError(folder, f"Bookwheel {manifest.version} wrote it, and this is {version}: upgrade first")
    if manifest.format != FORMAT:
        raise BackupInvalidError(folder, f"its format is {manifest.format}, and Bookwheel {version} reads {FORMAT}")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises BackupInvalidError if the folder differs from the manifest."""
    present = {str(path.relative_to(folder)): path for path in _files(folder) if path.name != MANIFEST}
    if missing := manifest.files.keys() - present.keys():
        raise BackupInvalidError(folder, f"{len(missing)} files are missing, such as {min(missing)}")
    if unknown := present.keys() - manifest.files.keys():
        raise BackupInvalidError(folder, f"{len(unknown)} files are not in the manifest, such as {min(unknown)}")
    for name, path in present.items():
        if _describe(path) != manifest.files[name]:
            raise BackupInvalidError(folder, f"{name} differs from the manifest")


def copy(source: IO[bytes], target: IO[bytes]) -> None:
    while chunk := source.read(_CHUNK):
        target.write(chunk)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _describe(path: Path) -> BackupFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
        os.fsync(file.fileno())
    return BackupFile(size=size, sha256=digest.hexdigest())


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]

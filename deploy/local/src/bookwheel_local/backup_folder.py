"""A backup: a folder of files, and a manifest that names each with its size and SHA-256. Complete or not there."""

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
_PIECE = 1 << 20


class BackupInvalidError(LocalError):
    def __init__(self, folder: Path, why: str) -> None:
        super().__init__(f"{folder} can't be restored: {why}. Nothing was changed here.")


class BackupFile(Contract):
    size: int
    sha256: str


class Manifest(Contract):
    """`version` is that of the Bookwheel which made the backup, `data` the folder that its data was in."""

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
def new_backup(folder: Path) -> Iterator[Path]:
    """A folder beside that one to fill, which takes its name when the `with` ends well. For its owner's eyes only."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LocalError(f"{folder} is not empty: name a new folder for each backup")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        yield aside
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_manifest(folder: Path, *, version: str, engines: EngineSet, lake: LakeStore, data: Path) -> Manifest:
    """Reads everything in the folder once more and flushes it to the disk."""
    manifest = Manifest(
        format=FORMAT,
        version=version,
        created_at=datetime.now(UTC),
        engines=engines,
        lake=lake,
        data=str(data),
        files={str(path.relative_to(folder)): _described(path) for path in _files(folder)},
    )
    with (folder / MANIFEST).open("x") as file:
        file.write(manifest.model_dump_json(indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return manifest


def read_manifest(folder: Path, *, version: str) -> Manifest:
    """Raises BackupUnusable for a folder that is no whole backup, or one that a newer Bookwheel than `version` made."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        raise BackupInvalidError(folder, f"it holds no {MANIFEST}, so it is no complete backup") from None
    except (OSError, ValidationError) as error:
        raise BackupInvalidError(folder, f"its {MANIFEST} can't be read ({str(error)[:200]})") from error
    if manifest.format != FORMAT or _numbers(manifest.version) > _numbers(version):
        raise BackupInvalidError(folder, f"Bookwheel {manifest.version} made it, and this is {version}: upgrade first")
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Raises BackupUnusable where the folder does not hold exactly what the manifest says."""
    present = {str(path.relative_to(folder)): path for path in _files(folder) if path.name != MANIFEST}
    if missing := manifest.files.keys() - present.keys():
        raise BackupInvalidError(folder, f"{len(missing)} files are missing, such as {min(missing)}")
    if unknown := present.keys() - manifest.files.keys():
        raise BackupInvalidError(folder, f"{len(unknown)} files are not of the backup, such as {min(unknown)}")
    for name, path in present.items():
        if _described(path) != manifest.files[name]:
            raise BackupInvalidError(folder, f"{name} is not what was backed up")


def copy(source: IO[bytes], target: IO[bytes]) -> None:
    while piece := source.read(_PIECE):
        target.write(piece)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _described(path: Path) -> BackupFile:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return BackupFile(size=size, sha256=digest.hexdigest())


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]

"""Backups and restores of a state folder. tests/test_end_to_end.py backs up and restores a running suite."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from io import StringIO
from pathlib import Path

import pytest
from bookwheel_local.backup import VERSION, back_up, restore
from bookwheel_local.backup_folder import MANIFEST, check_files, read_manifest
from bookwheel_local.errors import LocalError
from bookwheel_local.layout import Layout
from bookwheel_local.local_suite import LocalSuite
from bookwheel_local.progress import ProgressLine
from bookwheel_local.restore_rollback import check_not_interrupted, rollback_on_failure
from bookwheel_local.settings import LocalSettings
from bookwheel_stores.lake import Lake, LakeAddress, LakeFile
from bookwheel_stores.lake.bronze import Bronze
from bookwheel_stores.streams import StreamEntry

QUIET = ProgressLine(StringIO())


def records(layout: Layout) -> Path:
    return layout.data / "bookwheel.sqlite"


@pytest.fixture
def settings(layout: Layout) -> LocalSettings:
    """The settings of a state folder with a database, a file in the lake, and a password."""
    with closing(sqlite3.connect(records(layout))) as connection, connection:
        connection.execute("CREATE TABLE records_version (version_num TEXT)")
        connection.execute("INSERT INTO records_version VALUES ('9999')")
    (layout.data / "lake" / "bronze").mkdir(parents=True)
    (layout.data / "lake" / "bronze" / "one.parquet").write_bytes(b"one")
    (layout.secrets / "demo-password").write_text("secret")
    return LocalSettings(state_dir=layout.state_dir, port_base=layout.ports.gateway)


@pytest.fixture
def backup(settings: LocalSettings, tmp_path: Path) -> Path:
    back_up(LocalSuite(settings), tmp_path / "backup", QUIET)
    return tmp_path / "backup"


def test_a_backup_is_complete_and_private_and_needs_a_new_folder(settings: LocalSettings, backup: Path) -> None:
    manifest = read_manifest(backup, version=VERSION)
    check_files(backup, manifest)
    secrets = {f"secrets/{name}-password" for name in ("demo", "redis")}
    assert set(manifest.files) == {"records.sqlite", "lake/bronze/one.parquet", *secrets}
    assert backup.stat().st_mode & 0o777 == 0o700
    with pytest.raises(LocalError, match="is not empty"):
        back_up(LocalSuite(settings), backup, QUIET)


def test_a_backup_is_complete_even_if_bronze_is_compacted_meanwhile(
    settings: LocalSettings, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bronze = Bronze(Lake(LakeAddress((layout.data / "lake").as_uri())))
    for number in range(3):
        bronze.add([StreamEntry(f"{1_793_880_000_000 + number}-0", b"body", 1)])
    list_files, is_first = Lake.list, True

    def list_then_compact(lake: Lake, folder: str) -> list[LakeFile]:
        nonlocal is_first
        files = list_files(lake, folder)
        if folder == "bronze" and is_first:
            is_first = False
            bronze.table.compact(today=date(2027, 1, 1), seconds=60)
            bronze.table.vacuum()
        return files

    monkeypatch.setattr(Lake, "list", list_then_compact)
    monkeypatch.setattr("bookwheel_stores.lake.tables.RETENTION", timedelta())
    back_up(LocalSuite(settings), tmp_path / "backup", QUIET)
    assert not is_first
    check_files(tmp_path / "backup", read_manifest(tmp_path / "backup", version=VERSION))
    table_copy = Bronze(Lake(LakeAddress((tmp_path / "backup" / "lake").as_uri()))).table
    assert table_copy.missing_files() == []
    assert sum(batch.num_rows for batch in table_copy.query("SELECT entry_id FROM rows")) == 3


def test_a_failed_backup_leaves_no_files(layout: Layout, settings: LocalSettings, tmp_path: Path) -> None:
    records(layout).write_bytes(b"not a database, but as long as a page of a database" * 20)
    with pytest.raises(LocalError, match="can't be copied"):
        back_up(LocalSuite(settings), tmp_path / "failed", QUIET)
    assert not [path for path in tmp_path.iterdir() if "failed" in path.name]
    with pytest.raises(LocalError, match="nothing to back up"):
        back_up(LocalSuite(settings.model_copy(update={"state_dir": tmp_path / "new"})), tmp_path / "none", QUIET)


def edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "not a complete backup": lambda backup: (backup / MANIFEST).unlink(),
    "can't be read": lambda backup: (backup / MANIFEST).write_text("{}"),
    "1 files are missing": lambda backup: (backup / "secrets" / "demo-password").unlink(),
    "demo-password differs from the manifest": lambda backup: edit(
        backup / "secrets" / "demo-password", "secret", "Secret"
    ),
    "lake/other": lambda backup: (backup / "lake" / "other").touch(),
    "999.0.0 wrote it": lambda backup: edit(backup / MANIFEST, f'"version": "{VERSION}"', '"version": "999.0.0"'),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_a_damaged_or_newer_backup_is_rejected(
    layout: Layout, settings: LocalSettings, backup: Path, reason: str
) -> None:
    DAMAGES[reason](backup)
    with pytest.raises(LocalError, match=reason):
        restore(settings, backup, QUIET, force=True)
    assert records(layout).exists()


def test_existing_data_is_kept_without_force_and_after_a_failed_restore(
    layout: Layout, settings: LocalSettings, backup: Path
) -> None:
    (layout.data / "mine").touch()
    with pytest.raises(LocalError, match="Move it aside with FORCE=1"):
        restore(settings, backup, QUIET, force=False)
    with pytest.raises(LocalError, match="are at revision 9999"):  # tables of a newer version
        restore(settings, backup, QUIET, force=True)
    assert (layout.data / "mine").exists()
    assert (layout.secrets / "demo-password").read_text() == "secret"
    check_not_interrupted(layout)


def test_an_interrupted_restore_is_reported_at_the_next_start(layout: Layout, settings: LocalSettings) -> None:
    interrupted_restore = rollback_on_failure(layout)
    previous_data = interrupted_restore.__enter__()
    assert previous_data is not None
    assert (previous_data / "data" / "bookwheel.sqlite").exists()
    with pytest.raises(LocalError, match="was interrupted"):
        check_not_interrupted(layout)

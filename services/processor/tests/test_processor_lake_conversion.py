"""A lake of a version before Delta Lake is converted without loss, also if the process is killed.

`lake_before_delta.zip` was written by that version. It has bronze of three sources and two days, silver, and an export.
One day is merged, still has its small files, and has a late entry. `entries.json` contains all received entries.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_processor.cli import _parser
from bookwheel_processor.commands import run
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.ingest_job import run_ingest
from bookwheel_processor.worker.lake_jobs import run_bronze, run_lake_conversion, run_lake_sweep, run_silver
from bookwheel_processor.worker.process_lock import process_lock
from bookwheel_stores.lake import Lake, LakeError
from bookwheel_stores.lake.bronze import TABLE, Bronze
from bookwheel_stores.lake.export_writer import export_versions, read_export
from bookwheel_stores.lake.tables import LakeTable
from bookwheel_stores.streams import StreamEntry, StreamWriter
from bookwheel_testing.fault_injection import SimulatedCrash, crash_after
from bookwheel_testing.lakes import lake_rows

ARCHIVE = Path(__file__).with_name("lake_before_delta.zip")


@pytest.fixture
def entries(dependencies: Dependencies, scraped: Any) -> dict[str, bytes]:
    """Create the old lake and records of 5 books; return the entries of bronze."""
    folder = dependencies.lake.address.folder
    assert folder is not None
    with ZipFile(ARCHIVE) as archive:
        archive.extractall(folder)
    texts = json.loads((folder / "entries.json").read_text())
    messages = [scraped.item(number).model_dump_json() for number in range(1, 6)]
    StreamWriter(dependencies.redis, RAW_STREAM).publish(messages)
    run_ingest(dependencies)
    return {entry_id: text.encode("latin-1") for entry_id, text in texts.items()}


def bronze(lake: Lake) -> dict[str, bytes]:
    rows = lake_rows(lake, TABLE)
    bodies = {row["entry_id"]: row["body"] for row in rows}
    assert len(bodies) == len(rows), "each entry once"
    return bodies


def old_files(lake: Lake) -> list[str]:
    paths = [file.path for folder in ("bronze", "silver") for file in lake.list(folder)]
    return [path for path in paths if "/source=" in path or "catalogue" in path or path.endswith("observations.json")]


def check_converted(dependencies: Dependencies, entries: dict[str, bytes]) -> None:
    lake = dependencies.lake
    assert bronze(lake) == entries
    assert old_files(lake) == []
    assert len(lake_rows(lake, "silver/books")) == len(lake_rows(lake, "silver/offers")) == 5
    assert len(lake_rows(lake, "silver/observations")) == 5


def test_the_whole_lake_is_converted(dependencies: Dependencies, entries: dict[str, bytes]) -> None:
    conversion = run_lake_conversion(dependencies)
    assert conversion is not None
    assert (conversion.added_entries, conversion.removed_files, conversion.is_complete) == (15, 16 + 5, True)
    check_converted(dependencies, entries)
    again = run_lake_conversion(dependencies)
    assert again is not None
    assert (again.added_entries, again.removed_files) == (0, 0)


def test_exports_are_immutable(dependencies: Dependencies, entries: dict[str, bytes]) -> None:
    run_lake_conversion(dependencies)
    assert export_versions(dependencies.lake) == [2]
    export = read_export(dependencies.lake, 2)
    assert export is not None
    for file in export.files:
        content = dependencies.lake.read(file.path)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.sha256)
    assert entries


def test_the_sweep_converts_while_the_other_jobs_write(dependencies: Dependencies, entries: dict[str, bytes]) -> None:
    """Before the conversion they write to the new tables, among others an entry that the old lake has, too."""
    redelivered = min(entries)
    Bronze(dependencies.lake).add([StreamEntry(redelivered, entries[redelivered], 1)])
    assert run_bronze(dependencies) == 5
    assert run_silver(dependencies) == 5
    new = bronze(dependencies.lake)
    assert len(new) == 6
    run_lake_sweep(dependencies)
    check_converted(dependencies, entries | new)


@pytest.mark.parametrize("step", range(0, 24, 2))
def test_a_conversion_killed_at_any_step_continues(
    dependencies: Dependencies, entries: dict[str, bytes], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, suppress(SimulatedCrash):
        crash_after(step, patch, LakeTable, "load", "append", "replace")
        run_lake_conversion(dependencies)
    run_lake_conversion(dependencies)
    check_converted(dependencies, entries)


@pytest.mark.parametrize("step", range(4))
def test_a_conversion_killed_before_it_deletes_continues(
    dependencies: Dependencies, entries: dict[str, bytes], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, suppress(SimulatedCrash):
        crash_after(step, patch, Lake, "delete")
        run_lake_conversion(dependencies)
    run_lake_conversion(dependencies)
    check_converted(dependencies, entries)


def test_old_files_stay_if_the_tables_have_other_content(dependencies: Dependencies, entries: dict[str, bytes]) -> None:
    before = old_files(dependencies.lake)
    Bronze(dependencies.lake).add([StreamEntry(min(entries), b"something else", 1)])
    with pytest.raises(LakeError, match="1 entries of the old files are not in bronze"):
        run_lake_conversion(dependencies)
    assert set(before) - set(old_files(dependencies.lake)) < {path for path in before if "demo" not in path}


def test_the_command(
    dependencies: Dependencies,
    entries: dict[str, bytes],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bookwheel_processor.commands._CONVERT_TIMEOUT", 0.0)
    options = _parser().parse_args(["convert-lake"])
    with process_lock(dependencies.lock_folder, "lake"):
        assert run(options, dependencies.settings) == 1
    assert "another process writes to the lake" in capsys.readouterr().err
    assert run(options, dependencies.settings) == 0
    assert "21 files converted, 15 entries added to bronze" in capsys.readouterr().out
    check_converted(dependencies, entries)

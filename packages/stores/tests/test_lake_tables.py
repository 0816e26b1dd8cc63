"""The same contract for Delta tables in a folder, on a real S3 server, and with one writer on a GCS emulator."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bookwheel_stores.lake import Lake, LakeAddress, LakeError
from bookwheel_stores.lake.tables import RETENTION, ConcurrentWriteError, LakeTable
from bookwheel_testing.lakes import lake_rows, open_lake

TODAY = date(2026, 11, 7)
YESTERDAY = TODAY - timedelta(days=1)
PATH = "some/table"
SCHEMA = pa.schema([pa.field("number", pa.int64(), nullable=False), pa.field("date", pa.date32(), nullable=False)])


@pytest.fixture(params=["folder", "s3", "gcs"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return open_lake(request.param, request, tmp_path / "the lake")


@pytest.fixture(params=["folder", "s3"])
def shared_lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """A lake with concurrent writers."""
    return open_lake(request.param, request, tmp_path)


def table_of(lake: Lake) -> LakeTable:
    return LakeTable(lake, PATH, SCHEMA, partition_by="date")


def rows_of(*numbers: int, day: date = YESTERDAY) -> pa.Table:
    return pa.table({"number": numbers, "date": [day] * len(numbers)}, schema=SCHEMA)


def numbers_in(lake: Lake) -> list[int]:
    return sorted(row["number"] for row in lake_rows(lake, PATH))


def data_files(lake: Lake) -> list[str]:
    return [file.path for file in lake.list(PATH) if "_delta_log" not in file.path]


def test_rows_and_cursor_are_committed_together(lake: Lake) -> None:
    table = table_of(lake)
    assert table.load() == 0
    table.append(rows_of(1, 2), cursor=7)
    table.append(rows_of(3, day=TODAY), cursor=8)
    assert table_of(lake).load() == 8
    table.replace(rows_of(4, 5), f"date = '{YESTERDAY}'", cursor=9)
    assert numbers_in(lake) == [3, 4, 5]
    table.replace(rows_of(), f"date = '{TODAY}'", cursor=10)
    assert numbers_in(lake) == [4, 5]
    assert table_of(lake).load() == 10
    table.append(rows_of(), cursor=11)
    assert table_of(lake).load() == 11


def test_a_snapshot_does_not_change(lake: Lake) -> None:
    table = table_of(lake)
    table.load()
    table.append(rows_of(1), cursor=1)
    snapshot = table.snapshot()
    table.load()
    table.replace(rows_of(2), f"date = '{YESTERDAY}'", cursor=2)
    table.vacuum()
    assert snapshot.to_pyarrow_table()["number"].to_pylist() == [1]
    assert numbers_in(lake) == [2]


def test_a_writer_with_an_outdated_version_cannot_commit(lake: Lake) -> None:
    first, second = table_of(lake), table_of(lake)
    first.load()
    second.load()
    first.append(rows_of(1), cursor=1)
    for write in (second.append, lambda rows, cursor: second.replace(rows, "date = '2026-11-06'", cursor=cursor)):
        with pytest.raises(ConcurrentWriteError):
            write(rows_of(2), cursor=1)
    assert numbers_in(lake) == [1]
    assert second.load() == 1
    second.append(rows_of(2), cursor=2)
    assert numbers_in(lake) == [1, 2]


def test_concurrent_writers_lose_and_duplicate_nothing(shared_lake: Lake) -> None:
    def write(writer: int) -> None:
        table, number = table_of(shared_lake), 0
        while number < 10:
            cursor = table.load()
            try:
                table.append(rows_of(writer * 100 + number), cursor=cursor + 1)
            except ConcurrentWriteError:
                continue
            number += 1

    table_of(shared_lake).load()
    run_together(*(lambda writer=writer: write(writer) for writer in range(3)))
    assert numbers_in(shared_lake) == [writer * 100 + number for writer in range(3) for number in range(10)]
    assert table_of(shared_lake).load() == 30


def test_compaction_and_vacuum_do_not_disturb_a_writer(shared_lake: Lake) -> None:
    done = threading.Event()

    def write() -> None:
        table = table_of(shared_lake)
        table.load()
        for number in range(40):
            table.append(rows_of(number), cursor=number + 1)
        done.set()

    def compact() -> None:
        table = table_of(shared_lake)
        while not done.is_set():
            table.compact(today=TODAY, seconds=60)
            table.vacuum()

    table_of(shared_lake).load()
    run_together(write, compact)
    assert numbers_in(shared_lake) == list(range(40))
    table_of(shared_lake).compact(today=TODAY, seconds=60)
    assert len(current_files(shared_lake)) == 1


def current_files(lake: Lake) -> set[str]:
    table = table_of(lake)
    table.load()
    return set(table.snapshot().file_uris())


def run_together(*work: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def run(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_earlier_days_are_compacted_and_today_if_it_has_many_files(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bookwheel_stores.lake.tables._SMALL_FILES", 5)
    table = table_of(lake)
    table.load()
    for number in range(4):
        table.append(rows_of(number), cursor=2 * number + 1)
        table.append(rows_of(number + 10, day=TODAY), cursor=2 * number + 2)
    assert table.compact(today=TODAY, seconds=0) == 0, "no time left"
    assert table.compact(today=TODAY, seconds=60) == 1
    assert len(current_files(lake)) == 1 + 4
    assert table.compact(today=TODAY, seconds=60) == 0
    table.append(rows_of(14, day=TODAY), cursor=9)
    assert table.compact(today=TODAY, seconds=60) == 1
    assert len(current_files(lake)) == 1 + 1
    assert numbers_in(lake) == [*range(4), *range(10, 15)]
    assert table.load() == 9


def test_a_full_file_is_not_compacted_again(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(lake)
    table.load()
    for number in range(3):
        table.append(rows_of(number), cursor=number + 1)
    monkeypatch.setattr("bookwheel_stores.lake.tables._COMPACTED_BYTES", 1)
    assert table.compact(today=TODAY, seconds=60) == 0


def test_vacuum_deletes_only_files_older_than_the_retention(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(tmp_path.as_uri()))
    table = table_of(lake)
    table.load()
    for number in range(3):
        table.append(rows_of(number), cursor=number + 1)
    table.compact(today=TODAY, seconds=60)
    folder = tmp_path / PATH
    leftover = folder / f"date={YESTERDAY}" / "part-00000-killed.zstd.parquet"
    pq.write_table(rows_of(9), leftover)
    unfinished = [
        leftover.with_name("part-00001-killed.zstd.parquet#1"),
        folder / "_delta_log" / "00000000000000000009.json#1",
    ]
    for file in unfinished:
        file.write_bytes(b"half")
    assert table.vacuum() == 0, "readers or writers may still use the files"
    for path in data_files(lake):
        age(tmp_path / path)
    age(unfinished[1])
    assert table.vacuum() == 2 + 1, "compacted files are retained from their removal on"
    assert len(data_files(lake)) == 3 + 1
    assert numbers_in(lake) == [0, 1, 2]


def age(path: Path) -> None:
    then = (datetime.now(UTC) - RETENTION - timedelta(minutes=1)).timestamp()
    os.utime(path, (then, then))


WRITER = """
import sys
from datetime import date
import pyarrow as pa
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.tables import LakeTable
schema = pa.schema([pa.field("number", pa.int64(), nullable=False), pa.field("date", pa.date32(), nullable=False)])
table = LakeTable(Lake(LakeAddress(sys.argv[1])), sys.argv[2], schema, partition_by="date")
print("ready", flush=True)
while True:
    cursor = table.load()
    days = [date(2026, 11, 6), date(2026, 11, 7)]
    table.append(pa.table({"number": [cursor, cursor], "date": days}, schema=schema), cursor=cursor + 1)
    print(cursor, flush=True)
"""


def test_a_killed_writer_leaves_only_complete_commits(tmp_path: Path) -> None:
    lake, rng = Lake(LakeAddress(tmp_path.as_uri())), random.Random(1)
    confirmed = -1
    for _ in range(5):
        command = [sys.executable, "-c", WRITER, lake.address.url, PATH]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.02, 0.3))
            process.send_signal(signal.SIGKILL)
            for line in process.stdout:
                confirmed = max(confirmed, int(line))
        commits = table_of(lake).load()
        assert commits > confirmed, "confirmed commits exist"
        assert numbers_in(lake) == [number for number in range(commits) for _ in range(2)]
    for path in data_files(lake):
        age(tmp_path / path)
    table_of(lake).vacuum()
    assert len(data_files(lake)) == 2 * commits
    assert numbers_in(lake) == [number for number in range(commits) for _ in range(2)]


def test_a_commit_in_a_folder_is_flushed_to_the_disk_before_it_is_confirmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Flushes data files, the log entry and their folders, because `deltalake` flushes nothing."""
    table = table_of(Lake(LakeAddress(tmp_path.as_uri())))
    table.load()
    flushed: set[Path] = set()
    monkeypatch.setattr(os, "fsync", lambda file: flushed.add(Path(f"/proc/self/fd/{file}").resolve()))
    table.append(rows_of(1), cursor=1)
    folder = tmp_path / PATH
    [file] = folder.glob("date=*/*.parquet")
    assert flushed >= {file, file.parent, folder, folder / "_delta_log", folder / "_delta_log" / f"{1:020}.json"}


def test_the_memory_does_not_depend_on_the_number_of_rows(tmp_path: Path) -> None:
    """Appends 10,000 rows at a time, compacts and reads them."""
    peaks = [measure_peak(tmp_path / f"{appends}", appends) for appends in (5, 100)]
    assert peaks[1] < 1.6 * peaks[0], peaks


MEASURE = """
import re, sys
from datetime import date
from pathlib import Path
import pyarrow as pa
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.tables import LakeTable
schema = pa.schema([("number", pa.int64()), ("text", pa.string()), pa.field("date", pa.date32(), nullable=False)])
table = LakeTable(Lake(LakeAddress(sys.argv[1])), "table", schema, partition_by="date")
table.load()
for number in range(int(sys.argv[2])):
    numbers = range(number * 10_000, (number + 1) * 10_000)
    text = [f"{value * 2654435761 % (1 << 64):x}" * 4 for value in numbers]
    rows = pa.table({"number": numbers, "text": text, "date": [date(2026, 1, 1)] * 10_000}, schema=schema)
    table.append(rows, cursor=number + 1)
table.compact(today=date(2026, 1, 2), seconds=600)
table.load()
assert sum(batch.num_rows for batch in table.query("SELECT number, text FROM rows")) == 10_000 * int(sys.argv[2])
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
"""


def measure_peak(folder: Path, appends: int) -> int:
    """Returns the peak memory in KB of a process that fills, compacts and reads a table."""
    command = [sys.executable, "-c", MEASURE, folder.as_uri(), str(appends)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_an_unavailable_store_is_a_lake_error() -> None:
    lake = Lake(LakeAddress("s3://lake", "http://127.0.0.1:9", "us-east-1", "key", "very-secret"))
    with pytest.raises(LakeError) as failure:
        table_of(lake).load()
    assert "very-secret" not in str(failure.value)


def test_a_new_column_is_null_in_existing_rows(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(tmp_path.as_uri()))
    table_of(lake).load()
    first = table_of(lake)
    first.load()
    first.append(rows_of(1), cursor=1)
    schema = SCHEMA.append(pa.field("text", pa.string()))
    second: Any = LakeTable(lake, PATH, schema, partition_by="date")
    assert second.load() == 1
    assert sorted((row["number"], row["text"]) for row in lake_rows(lake, PATH)) == [(1, None)], (
        "before the first write"
    )
    second.append(rows_of(2).append_column("text", pa.array(["x"])), cursor=2)
    assert sorted((row["number"], row["text"]) for row in lake_rows(lake, PATH)) == [(1, None), (2, "x")]

"""Bronze stores each received entry once, also if consumers receive it repeatedly or concurrently."""

import json
import threading
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.bronze import TABLE, Bronze
from bookwheel_stores.lake.tables import LakeTable
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.fault_injection import SimulatedCrash, crash_after
from bookwheel_testing.lakes import lake_rows, open_lake

NOON = 1_793_880_000_000  # 2026-11-05T12:00:00Z
MINUTE, DAY = 60_000, 86_400_000
FIFTH, SEVENTH = date(2026, 11, 5), date(2026, 11, 7)


@pytest.fixture(params=["folder", "s3", "gcs"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return open_lake(request.param, request, tmp_path)


@pytest.fixture
def folder_lake(tmp_path: Path) -> Lake:
    return Lake(LakeAddress(tmp_path.as_uri()))


def entry(number: int, *, source: str = "demo", at: int = NOON, body: bytes | None = None) -> StreamEntry:
    message = {"kind": "item", "schema_version": 1, "run_id": "run-1", "item_number": number, "source": source}
    return StreamEntry(f"{at + number}-0", body or json.dumps({**message, "payload": {"title": "x"}}).encode(), 1)


def stored(lake: Lake) -> dict[str, bytes]:
    rows = lake_rows(lake, TABLE)
    bodies = {row["entry_id"]: row["body"] for row in rows}
    assert len(bodies) == len(rows), "each entry once"
    return bodies


def bodies(*entries: StreamEntry) -> dict[str, bytes]:
    return {entry.id: entry.body for entry in entries}


def test_entries_are_stored_as_received(lake: Lake) -> None:
    entries = [entry(n) for n in range(1, 6)] + [entry(6, source="other"), entry(7, at=NOON + DAY)]
    assert Bronze(lake).add(entries) == 7
    assert stored(lake) == bodies(*entries)
    [row] = [row for row in lake_rows(lake, TABLE) if row["source"] == "other"]
    assert (row["kind"], row["run_id"], row["item_number"], row["date"]) == ("item", "run-1", 6, FIFTH)
    assert row["received_at"] == datetime(2026, 11, 5, 12, 0, 0, 6000, tzinfo=UTC)


def test_unreadable_entries_are_stored_too(lake: Lake) -> None:
    hostile = [
        b"",
        b"\0\xff\xfe not JSON",
        b"[" * 10_000,
        b'{"kind":"item","source":"../../../etc"}',
        b'{"kind":"item","source":".."}',
        b'{"kind":"item","source":"%s"}' % (b"x" * 100),
        b'{"kind":"item","payload":{"source":"faked"}}',
        b"y" * 10_000_000,
    ]
    entries = [StreamEntry(f"{NOON + n}-0", body, 1) for n, body in enumerate(hostile)]
    assert Bronze(lake).add(entries) == len(hostile)
    assert stored(lake) == bodies(*entries)
    assert {row["source"] for row in lake_rows(lake, TABLE)} == {None, "..", "x" * 100}


@pytest.mark.parametrize("sizes", [[7], [1] * 7, [5, 2], [3, 3, 1]])
def test_a_replay_in_other_batches_stores_nothing_again(folder_lake: Lake, sizes: list[int]) -> None:
    entries = [entry(n) for n in range(1, 8)]
    first = Bronze(folder_lake)
    first.add(entries[:4])
    first.add(entries[2:])
    replayed = iter([*entries, *entries])
    for size in sizes:
        assert Bronze(folder_lake).add([next(replayed) for _ in range(size)]) == 0
    assert stored(folder_lake) == bodies(*entries)


def test_a_repeated_entry_of_a_batch_is_stored_once(folder_lake: Lake) -> None:
    assert Bronze(folder_lake).add([entry(1), entry(1)]) == 1
    assert stored(folder_lake) == bodies(entry(1))
    assert Bronze(folder_lake).add([]) == 0


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_concurrent_consumers_of_the_same_entries_store_each_once(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str
) -> None:
    lake = open_lake(kind, request, tmp_path)
    entries = [entry(n) for n in range(1, 41)]
    counts: list[int] = []

    def consume(offset: int) -> None:
        counts.extend(Bronze(lake).add(entries[start : start + 10]) for start in range(offset, 40, 4))

    threads = [threading.Thread(target=consume, args=(offset,)) for offset in (0, 0, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 40
    assert stored(lake) == bodies(*entries)


def test_redelivered_and_late_entries_of_a_compacted_day_are_stored_once(lake: Lake) -> None:
    bronze = Bronze(lake)
    entries = [
        entry(n, at=NOON + day * DAY + minute * MINUTE) for day in range(3) for minute in range(3) for n in (1, 2)
    ]
    for stream_entry in entries:
        bronze.add([stream_entry])
    assert bronze.table.compact(today=SEVENTH, seconds=60) == 2
    assert stored(lake) == bodies(*entries)
    late = [entry(n, at=NOON + minute * MINUTE) for n in (8, 9) for minute in (2, -5)]
    assert Bronze(lake).add([*entries, *late]) == 4
    assert Bronze(lake).add([*late, *entries]) == 0
    assert bronze.table.compact(today=SEVENTH, seconds=60) == 1
    assert Bronze(lake).add([*late, *entries]) == 0
    assert stored(lake) == bodies(*entries, *late)


@pytest.mark.parametrize("step", range(5))
def test_a_consumer_killed_at_any_step_loses_and_duplicates_nothing(
    folder_lake: Lake, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [entry(n) for n in range(1, 9)]
    crash_after(step, monkeypatch, LakeTable, "load", "append", "compact")
    with suppress(SimulatedCrash):
        Bronze(folder_lake).add(entries[:4])
        Bronze(folder_lake).add(entries[2:6])
        Bronze(folder_lake).table.compact(today=FIFTH + timedelta(days=1), seconds=60)
    monkeypatch.undo()
    Bronze(folder_lake).add(entries[:4])
    Bronze(folder_lake).add(entries[2:])
    assert stored(folder_lake) == bodies(*entries)


def test_files_without_entries_of_the_batch_are_not_read(folder_lake: Lake, tmp_path: Path) -> None:
    """Otherwise each batch would read all ids of its day."""
    bronze = Bronze(folder_lake)
    bronze.add([entry(n) for n in range(1, 11)])
    bronze.add([entry(n) for n in range(11, 21)])
    earlier, _ = sorted((tmp_path / TABLE).rglob("*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    earlier.write_bytes(b"unreadable")
    assert bronze.add([entry(n) for n in range(15, 31)]) == 10

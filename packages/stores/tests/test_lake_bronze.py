"""Bronze keeps what was received: each entry once, whatever is delivered how often."""

import json
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bookwheel_stores.lake import Bronze, BronzeMerge, Lake, LakeAddress, LakeFileNotFoundError, bronze
from bookwheel_stores.lake.bronze_files import bronze_files
from bookwheel_stores.lake.bronze_merge import held_twice
from bookwheel_stores.lake.compaction import GRACE
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.engines import S3Store
from bookwheel_testing.fault_injection import SimulatedCrash, crash_after

NOON = 1_793_880_000_000  # 2026-11-05T12:00:00Z


@pytest.fixture(params=["folder", "s3"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    if request.param == "folder":
        return Lake(LakeAddress(tmp_path.as_uri()))
    store: S3Store = request.getfixturevalue("s3")
    return Lake(
        LakeAddress(f"s3://{store.bucket}/books", store.endpoint, "us-east-1", store.access_key, store.secret_key)
    )


def entry(number: int, *, source: str = "demo", at: int = NOON, body: bytes | None = None) -> StreamEntry:
    told = {"kind": "item", "schema_version": 1, "run_id": "run-1", "item_number": number, "source": source}
    return StreamEntry(f"{at + number}-0", body or json.dumps({**told, "payload": {"title": "x"}}).encode(), 1)


def kept(lake: Lake, folder: str = "bronze") -> dict[str, bytes]:
    rows = [row for file in lake.list(folder) for row in read(lake, file.path).to_pylist()]
    found = {row["entry_id"]: row["body"] for row in rows}
    assert len(found) == len(rows)
    return found


def read(lake: Lake, path: str) -> pa.Table:
    with lake.open(path) as file:
        return pq.read_table(file)


def bodies(entries: Sequence[StreamEntry]) -> dict[str, bytes]:
    return {one.id: one.body for one in entries}


def test_entries_lie_as_they_came_by_source_and_day(lake: Lake) -> None:
    entries = [entry(n) for n in range(1, 6)] + [entry(6, source="other"), entry(7, at=NOON + 86_400_000)]
    assert Bronze(lake, "host").add(entries) == 7
    assert [file.path for file in lake.list("bronze")] == [
        "bronze/source=demo/date=2026-11-05/1200-host.1.parquet",
        "bronze/source=demo/date=2026-11-06/1200-host.1.parquet",
        "bronze/source=other/date=2026-11-05/1200-host.1.parquet",
    ]
    assert kept(lake) == bodies(entries)
    row = read(lake, "bronze/source=other/date=2026-11-05/1200-host.1.parquet").to_pylist()[0]
    assert (row["kind"], row["run_id"], row["item_number"]) == ("item", "run-1", 6)
    assert row["received_at"].isoformat() == "2026-11-05T12:00:00.006000+00:00"


def test_what_cannot_be_read_is_kept_too(lake: Lake) -> None:
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
    assert Bronze(lake, "a/../host").add(entries) == len(hostile)
    assert kept(lake) == bodies(entries)
    assert {file.path.split("/")[1] for file in lake.list("bronze")} == {
        "source=_unknown",
        "source=%2E.",
        f"source={'x' * 100}",
    }


@pytest.mark.parametrize("lots", [[7], [1] * 7, [5, 2], [3, 3, 1]])
def test_a_replay_in_other_lots_doubles_nothing(lake: Lake, lots: list[int]) -> None:
    entries = [entry(n) for n in range(1, 8)]
    first = Bronze(lake, "host")
    first.add(entries[:4])
    first.add(entries[2:])
    again = iter([*entries, *entries])
    for size in lots:
        assert Bronze(lake, "host").add([next(again) for _ in range(size)]) == 0
    assert Bronze(lake, "another").add(entries) == 0
    assert kept(lake) == bodies(entries)


def test_an_entry_twice_in_a_lot_is_kept_once(lake: Lake) -> None:
    assert Bronze(lake, "host").add([entry(1), entry(1)]) == 1
    assert kept(lake) == bodies([entry(1)])


def test_consumers_never_write_the_same_file(lake: Lake) -> None:
    Bronze(lake, "one").add([entry(1), entry(2)])
    assert Bronze(lake, "two").add([entry(2), entry(3)]) == 1
    assert Bronze(lake, "one.1").add([entry(4)]) == 1
    assert len(lake.list("bronze")) == 3
    assert kept(lake) == bodies([entry(n) for n in range(1, 5)])


def test_a_full_file_is_left_as_it_is(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bronze, "_LARGEST", 1)
    entries = [entry(n) for n in range(1, 13)]
    for one in entries:
        Bronze(lake, "host").add([one])
    assert len(lake.list("bronze")) == 12
    assert Bronze(lake, "host").add(entries) == 0
    assert kept(lake) == bodies(entries)


MINUTE, DAY = 60_000, 86_400_000
TODAY = date(2026, 11, 7)
FIFTH, SIXTH, SEVENTH = (f"bronze/source=demo/date=2026-11-0{day}" for day in (5, 6, 7))


def merge(lake: Lake, *, later: bool = False, largest: int = 64 << 20) -> int:
    now = datetime.now(UTC) + (2 * GRACE if later else timedelta())
    return BronzeMerge(lake, largest=largest).run(before=TODAY, now=now)


def names(lake: Lake, folder: str) -> list[str]:
    """Without the digests."""
    found = [file.path.rpartition("/")[2] for file in lake.list(folder)]
    return [name[:16] if name.startswith("merged-") else name for name in found]


@pytest.fixture
def received(lake: Lake) -> list[StreamEntry]:
    """Of three days six minutes each, in files of two consumers; the last day is not over."""
    entries = [
        entry(n, at=NOON + day * DAY + minute * MINUTE) for day in range(3) for minute in range(6) for n in range(1, 4)
    ]
    for number, one in enumerate(entries):
        Bronze(lake, f"host-{number % 2}").add([one])
    return entries


def test_files_of_days_that_are_over_become_one_and_the_small_ones_go_when_nobody_reads_them_any_more(
    lake: Lake, received: list[StreamEntry]
) -> None:
    small = names(lake, FIFTH)
    assert len(small) == 12
    assert merge(lake) == 2
    assert names(lake, FIFTH) == [*small, "merged-1200-1205"]
    assert merge(lake) == 0
    assert merge(lake, later=True) == 0
    assert names(lake, FIFTH) == names(lake, SIXTH) == ["merged-1200-1205"]
    assert names(lake, SEVENTH) == small
    assert kept(lake) == bodies(received)
    [whole] = lake.list(FIFTH)
    ids = read(lake, whole.path)["entry_id"].to_pylist()
    assert ids == sorted(ids)


def test_what_is_delivered_again_after_the_merge_is_found_in_the_merged_file(
    lake: Lake, received: list[StreamEntry]
) -> None:
    merge(lake)
    assert Bronze(lake, "another").add(received) == 0
    merge(lake, later=True)
    for consumer in ("host-0", "another"):
        assert Bronze(lake, consumer).add(received) == 0
    assert kept(lake) == bodies(received)


def test_a_late_entry_of_a_merged_day_is_kept_and_merged(lake: Lake, received: list[StreamEntry]) -> None:
    merge(lake)
    late = [entry(n, at=NOON + minute * MINUTE) for n in (8, 9) for minute in (2, -5)]
    assert Bronze(lake, "host-0").add([*received, *late[:2]]) == 2
    assert Bronze(lake, "host-0").add([*received, *late]) == 2
    assert "1202-host-0.2.parquet" in names(lake, FIFTH), "a file that is about to go gets nothing more"
    assert merge(lake) == 1
    assert merge(lake, later=True) == 0
    assert names(lake, FIFTH) == ["1155-host-0.1.parquet", "merged-1200-1205"]
    assert kept(lake) == bodies([*received, *late])
    assert Bronze(lake, "host-1").add([*received, *late]) == 0


def test_a_day_becomes_several_files_where_one_would_be_too_large(lake: Lake, received: list[StreamEntry]) -> None:
    size = sum(file.size for file in lake.list(FIFTH)[:2])
    assert merge(lake, largest=2 * size + 200) == 2 * 3
    assert merge(lake, later=True, largest=2 * size + 200) == 0
    assert names(lake, FIFTH) == ["merged-1200-1201", "merged-1202-1203", "merged-1204-1205"]
    late = entry(9, at=NOON + 3 * MINUTE)
    assert Bronze(lake, "host-0").add([*received, late]) == 1
    assert merge(lake, largest=1) == 1
    assert merge(lake, later=True, largest=1) == 0
    assert kept(lake) == bodies([*received, late])


def test_an_entry_that_two_consumers_kept_is_once_in_the_merged_file(lake: Lake) -> None:
    Bronze(lake, "one").add([entry(1), entry(2)])
    twice = lake.read(f"{FIFTH}/1200-one.1.parquet")
    lake.write(f"{FIFTH}/1200-two.1.parquet", twice)
    assert merge(lake) == 1
    assert merge(lake, later=True) == 0
    assert kept(lake) == bodies([entry(1), entry(2)])


@pytest.mark.parametrize("step", [0, 1, 2, 3, 9, 20])
def test_a_merge_killed_at_any_step_loses_and_doubles_nothing(
    lake: Lake, received: list[StreamEntry], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = entry(9, at=NOON + MINUTE)
    crash_after(step, monkeypatch, "writing", "delete")
    with suppress(SimulatedCrash):
        for _ in range(2):
            merge(lake, later=True)
    monkeypatch.undo()
    there = {row["entry_id"] for file in lake.list("bronze") for row in read(lake, file.path).to_pylist()}
    assert there == bodies(received).keys()
    assert Bronze(lake, "host-0").add([*received, late]) == 1
    for _ in range(2):
        merge(lake, later=True)
    assert kept(lake) == bodies([*received, late])
    assert len(lake.list(FIFTH)) == len(lake.list(SIXTH)) == 1


@pytest.mark.parametrize("long", [False, True])
def test_two_merges_at_once_leave_everything_once(
    lake: Lake, received: list[StreamEntry], long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One falls asleep before it publishes, `long` for longer than the readers' grace, and the other goes on."""
    late = entry(9, at=NOON + MINUTE)
    writing, is_first = Lake.writing, True

    def sleepy(self: Lake, path: str) -> Any:
        nonlocal is_first
        if is_first and "merged-" in path:
            is_first = False
            merge(lake, largest=1)
            Bronze(lake, "host-1").add([late])
            merge(lake, later=long, largest=1)
        return writing(self, path)

    monkeypatch.setattr(Lake, "writing", sleepy)
    with pytest.raises(LakeFileNotFoundError) if long else nullcontext():
        merge(lake)
    monkeypatch.undo()
    for _ in range(2):
        merge(lake, later=True)
    assert kept(lake) == bodies([*received, late])
    minutes = [f"merged-120{minute}-120{minute}" for minute in range(6)]
    assert names(lake, FIFTH) == (minutes if long else ["merged-1200-1205"])


def test_a_file_that_grew_while_it_was_merged_is_merged_again(
    lake: Lake, received: list[StreamEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    late = entry(9, at=NOON + MINUTE)
    writing = Lake.writing

    def grown(self: Lake, path: str) -> Any:
        monkeypatch.undo()
        assert Bronze(lake, "host-0").add([late]) == 1
        return writing(self, path)

    monkeypatch.setattr(Lake, "writing", grown)
    for _ in range(3):
        merge(lake, later=True)
    assert kept(lake) == bodies([*received, late])
    assert names(lake, FIFTH) == ["merged-1200-1205"]


def test_a_merge_goes_on_where_its_time_ended(lake: Lake, received: list[StreamEntry]) -> None:
    now = datetime.now(UTC)
    assert BronzeMerge(lake).run(before=TODAY, now=now, seconds=0) == 0
    assert BronzeMerge(lake).run(before=TODAY, now=now) == 2
    assert len(list(held_twice(lake, bronze_files(lake.list(FIFTH))))) == 12
    assert len(received) == 54

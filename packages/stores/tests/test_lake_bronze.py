"""Bronze keeps what was received: each entry once, whatever is delivered how often."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bookwheel_stores.lake import Bronze, Lake, LakeAddress, bronze
from bookwheel_stores.streams import StreamEntry

NOON = 1_793_880_000_000  # 2026-11-05T12:00:00Z


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LakeAddress(tmp_path.as_uri()))


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

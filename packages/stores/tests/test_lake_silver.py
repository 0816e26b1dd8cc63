"""Silver follows from the feed: however often and in whatever steps it is written."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bookwheel_stores.lake import Compaction, Lake, LakeAddress, Silver, compaction
from bookwheel_stores.lake.compaction import FILE_LIST, without_replaced
from bookwheel_stores.lake.silver import BOOKS_BY_SOURCE, BUCKET, CATALOG, OBSERVATIONS, range_name
from bookwheel_stores.records.feed.snapshots import ChangeDiff
from bookwheel_testing.fault_injection import SimulatedCrash, crash_after

DAY = 86_400_000
HOSTILE = 'A "title", with\nlines,\r\n\ttabs, \0 NUL, =1+1 and 猫\u2028'


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LakeAddress(tmp_path.as_uri()))


@pytest.fixture
def silver(lake: Lake) -> Silver:
    return Silver(lake)


def content(number: int, *, offers: dict[str, str | None] | None = None, **facts: Any) -> bytes:
    seen = "2026-01-31T08:15:00.123Z"
    said = {"demo": "10.00"} if offers is None else offers
    prices = {source: amount and {"amount": amount, "currency": "GBP"} for source, amount in said.items()}
    book = {
        "id": f"demo:{number}",
        "title": f"Book {number}",
        "authors": ["Ann Lee"],
        **dict.fromkeys(("isbn13", "category", "description", "language", "rating", "rating_count", "image_url")),
        "price": next(iter(prices.values()), None),
        "stock": 3,
        "in_stock": True,
        "offers": [
            {
                "source": source,
                "url": f"http://{source}/{number}",
                "price": price,
                "stock": 3,
                "in_stock": True,
                "first_seen": seen,
            }
            for source, price in prices.items()
        ],
        "first_seen": seen,
        "last_changed": seen,
        "revision": 1,
    }
    return orjson.dumps(book | facts)


def tables(lake: Lake, folder: str) -> dict[str, list[dict[str, Any]]]:
    found = {}
    for file in lake.list(folder):
        with lake.open(file.path) as opened:
            found[file.path] = pq.read_table(opened).to_pylist()
    return found


def test_books_lie_whole_and_by_source(lake: Lake, silver: Silver) -> None:
    two = content(2, offers={"demo": "5.00", "a/b=c": None}, category="Science", rating=4.5, title=HOSTILE)
    silver.write_books(0, [[content(1)], [two]])
    name = range_name(0)
    assert [file.path for file in lake.list("silver")] == [
        f"{BOOKS_BY_SOURCE}/source=a%2Fb%3Dc/{name}.parquet",
        f"{BOOKS_BY_SOURCE}/source=demo/{name}.parquet",
        f"{CATALOG}/{name}.parquet",
    ]
    [whole] = silver.catalog()
    rows = whole.to_pylist()
    assert [row["book_id"] for row in rows] == ["demo:1", "demo:2"]
    assert rows[1]["title"] == HOSTILE
    assert rows[1]["sources"] == ["demo", "a/b=c"]
    assert (rows[1]["category"], rows[1]["rating"], rows[0]["category"]) == ("Science", 4.5, None)
    assert silver.sources() == {"a/b=c": "source=a%2Fb%3Dc", "demo": "source=demo"}
    [other] = silver.books_in("source=a%2Fb%3Dc", "a/b=c")
    [row] = other.to_pylist()
    assert (row["source"], row["book_id"], row["price_amount"], row["url"]) == (
        "a/b=c",
        "demo:2",
        None,
        "http://a/b=c/2",
    )


def test_a_bucket_written_again_is_replaced(lake: Lake, silver: Silver) -> None:
    silver.write_books(0, [[content(1), content(2, offers={"other": "1.00"})]])
    silver.write_books(1, [[content(BUCKET + 1)]])
    silver.write_books(0, [[content(1, title="New")]])
    assert [row["title"] for table in silver.catalog() for row in table.to_pylist()] == ["New", "Book 10001"]
    assert list(silver.sources()) == ["demo"]
    silver.write_books(0, [])
    silver.write_books(1, [])
    assert lake.list("silver") == []
    assert list(silver.catalog()) == []


def change(
    sequence: int, before: bytes | None, after: bytes | None, *, day: int = 0, removed: bool = False
) -> ChangeDiff:
    return ChangeDiff(sequence, 1, day * DAY + 1000, removed, before, after)


def test_what_a_change_says_anew_of_an_offer_is_an_observation(lake: Lake, silver: Silver) -> None:
    first, second = content(1), content(1, offers={"demo": "10.00", "other": "9.00"})
    third = content(1, offers={"demo": "11.00", "other": "9.00"}, title="Renamed")
    changes = [
        change(1, None, first),
        change(2, first, second),
        change(3, second, content(1, offers={"demo": "10.00", "other": "9.00"}, title="Renamed")),
        change(4, second, third, day=1),
        change(5, third, third, day=1, removed=True),
        change(6, None, third, day=1),
        change(7, None, None),
    ]
    for _ in range(2):
        silver.write_observations(0, [changes[:3], changes[3:]], up_to=9)
    found = {
        path.removeprefix(f"{OBSERVATIONS}/").rpartition("/")[0]: [
            (row["sequence"], str(row["price_amount"])) for row in rows
        ]
        for path, rows in tables(lake, OBSERVATIONS).items()
    }
    assert found == {
        "source=demo/date=1970-01-01": [(1, "10.0000")],
        "source=demo/date=1970-01-02": [(4, "11.0000"), (6, "11.0000")],
        "source=other/date=1970-01-01": [(2, "9.0000")],
        "source=other/date=1970-01-02": [(6, "9.0000")],
    }


@pytest.fixture
def observed(lake: Lake) -> list[int]:
    """Ten buckets of two changes: files of one row or two, of two days."""
    for bucket in range(10):
        for day in (1, 2):
            name = f"{OBSERVATIONS}/source=demo/date=2026-01-0{day}/{range_name(bucket, size=2)}.parquet"
            with lake.writing(name) as file:
                pq.write_table(pa.table({"sequence": [bucket * 2 + day]}), file)
    return list(range(1, 21))


SECOND = datetime(2026, 1, 2, 12, tzinfo=UTC)
"""The first day is over, the second is not. Nothing that is merged now is gone before its grace is over."""


def listed(lake: Lake) -> list[int]:
    files = [entry["path"] for entry in orjson.loads(lake.read(FILE_LIST))["files"]]
    return sorted(row["sequence"] for path in files for row in tables(lake, path.rpartition("/")[0])[path])


def test_small_files_are_merged_and_go_when_nobody_reads_them_any_more(lake: Lake, observed: list[int]) -> None:
    now = datetime.now(UTC)
    merging = Compaction(lake, bucket=2, merged=4)
    assert merging.run(up_to=20, now=now) == 6
    assert listed(lake) == observed
    assert len(lake.list(OBSERVATIONS)) == 20 + 6
    assert merging.run(up_to=20, now=now) == 0
    later = now + compaction.GRACE + timedelta(seconds=5)
    assert merging.run(up_to=20, now=later) == 0
    assert len(lake.list(OBSERVATIONS)) == 6
    assert listed(lake) == observed
    rows = [row["sequence"] for found in tables(lake, OBSERVATIONS).values() for row in found]
    assert sorted(rows) == observed


def test_what_may_still_grow_is_not_merged(lake: Lake, observed: list[int]) -> None:
    merging = Compaction(lake, bucket=2, merged=4)
    assert merging.run(up_to=7, now=SECOND - timedelta(days=1)) == 0
    assert listed(lake) == observed
    assert merging.run(up_to=7, now=SECOND) == 1
    assert [file.path.rpartition("/")[2] for file in lake.list(f"{OBSERVATIONS}/source=demo/date=2026-01-01")][:2] == [
        f"{range_name(0, size=2)}.parquet",
        f"{1:012d}-{6:012d}.parquet",
    ], "what is full of the day that is over"
    assert listed(lake) == observed


def test_a_file_that_an_overtaken_writer_has_put_in_place_is_not_merged(lake: Lake, observed: list[int]) -> None:
    path = f"{OBSERVATIONS}/source=demo/date=2026-01-01/{range_name(1, size=2)}.parquet"
    [whole] = tables(lake, path.rpartition("/")[0])[path]
    again: list[int] = []
    merging = Compaction(lake, bucket=2, merged=4)
    for up_to, left in ((3, 4), (4, 0)):
        with lake.writing(path) as file:
            table = pa.table({"sequence": [whole["sequence"]]})
            pq.write_table(table.replace_schema_metadata({"bookwheel.up_to": f"{up_to}"}), file)
        merging.run(up_to=20, now=SECOND, write_again=again.append)
        assert again == [2], "after which the file begins"
        merged = f"{path.rpartition('/')[0]}/{1:012d}-{8:012d}.parquet"
        assert (lake.size(merged) is None) == bool(left)
        assert orjson.loads(lake.read(FILE_LIST))["sequence"] == (2 if left else 20)
    assert listed(lake) == observed


def test_a_day_that_is_over_is_merged_as_its_ranges_fill(lake: Lake, observed: list[int]) -> None:
    merging = Compaction(lake, bucket=2, merged=4)
    for up_to in (7, 8, 13, 20, 20):
        merging.run(up_to=up_to, now=SECOND)
        assert listed(lake) == observed
    later = datetime.now(UTC) + compaction.GRACE + timedelta(seconds=5)
    merging.run(up_to=20, now=later)
    merging.run(up_to=20, now=later)
    found = [file.path.rpartition("/")[2] for file in lake.list(f"{OBSERVATIONS}/source=demo/date=2026-01-01")]
    assert found == [f"{first:012d}-{last:012d}.parquet" for first, last in ((1, 8), (9, 16), (17, 20))]
    assert listed(lake) == observed


@pytest.mark.parametrize("step", range(12))
def test_a_compaction_killed_at_any_step_loses_and_doubles_nothing(
    lake: Lake, observed: list[int], step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    merging = Compaction(lake, bucket=2, merged=4)
    merging.write_list(20)
    crash_after(step, monkeypatch, "writing", "delete", "list")
    later = datetime.now(UTC) + compaction.GRACE * 2
    try:
        merging.run(up_to=20, now=later)
    except SimulatedCrash:
        monkeypatch.undo()
    monkeypatch.undo()
    assert listed(lake) == observed
    merging.run(up_to=20, now=later)
    assert listed(lake) == observed
    assert len(lake.list(OBSERVATIONS)) == 6


def test_a_file_is_replaced_by_a_larger_one_of_its_own_folder_only(lake: Lake) -> None:
    for path in ("a/1-4", "a/1-2", "a/3-4", "a/5-6", "b/3-4"):
        lake.write(f"{OBSERVATIONS}/{path}.parquet", b"")
    current, replaced = without_replaced(lake.list(OBSERVATIONS))
    assert [file.path.removeprefix(f"{OBSERVATIONS}/") for file in current] == [
        "a/1-4.parquet",
        "a/5-6.parquet",
        "b/3-4.parquet",
    ]
    assert len(replaced) == 2

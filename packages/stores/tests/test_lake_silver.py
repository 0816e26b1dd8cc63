"""Silver tables, observations and exports, also after killed or repeated writes."""

import hashlib
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from bookwheel_contracts import BOOK_DETAILS
from bookwheel_stores.lake import Lake, LakeAddress, export_writer
from bookwheel_stores.lake.book_tables import BOOKS, OFFERS
from bookwheel_stores.lake.export_writer import delete_export, export_versions, read_export, write_export
from bookwheel_stores.lake.silver import BUCKET_SIZE, Silver
from bookwheel_stores.lake.tables import ConcurrentWriteError, LakeTable
from bookwheel_stores.records.feed.snapshots import ChangeDiff
from bookwheel_testing.fault_injection import SimulatedCrash, crash_after
from bookwheel_testing.lakes import lake_rows, open_lake

DAY = 86_400_000
HOSTILE = 'A "title", with\nlines,\r\n\ttabs, \0 NUL, =1+1 and 猫\u2028'


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(LakeAddress(tmp_path.as_uri()))


@pytest.fixture
def silver(lake: Lake) -> Silver:
    silver = Silver(lake)
    assert (silver.load_books(), silver.observations.load()) == (0, 0)
    return silver


def content(number: int, *, offers: dict[str, str | None] | None = None, **fields: Any) -> bytes:
    seen = "2026-01-31T08:15:00.123Z"
    amounts = {"demo": "10.00"} if offers is None else offers
    prices = {source: amount and {"amount": amount, "currency": "GBP"} for source, amount in amounts.items()}
    book = {
        **dict.fromkeys(BOOK_DETAILS),
        "id": f"demo:{number}",
        "title": f"Book {number}",
        "authors": ["Ann Lee"],
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
    return orjson.dumps(book | fields)


def titles(silver: Silver) -> list[str]:
    return [title for table in silver.snapshot().books() for title in table["title"].to_pylist()]


def test_books_and_offers_are_written_and_read(silver: Silver) -> None:
    second = content(2, offers={"demo": "5.00", "é" * 100: None}, category="Science", rating=4.5, title=HOSTILE)
    silver.write_books(0, [[content(1)], [second]], cursor=2)
    snapshot = silver.snapshot()
    assert snapshot.sequence == 2
    [books], [offers] = snapshot.books(), snapshot.offers()
    assert (books.schema, offers.schema) == (BOOKS, OFFERS)
    rows = books.to_pylist()
    assert [row["book_id"] for row in rows] == ["demo:1", "demo:2"]
    assert rows[1]["title"] == HOSTILE
    assert rows[1]["sources"] == ["demo", "é" * 100]
    assert (rows[1]["category"], rows[1]["rating"], rows[0]["category"]) == ("Science", 4.5, None)
    assert rows[0]["first_seen"] == datetime(2026, 1, 31, 8, 15, 0, 123_000, tzinfo=UTC)
    fields = [(row["source"], row["book_id"], row["price_amount"], row["url"]) for row in offers.to_pylist()]
    assert fields[-1] == ("é" * 100, "demo:2", None, f"http://{'é' * 100}/2")
    assert [row[0] for row in fields] == ["demo", "demo", "é" * 100]


def test_a_second_write_of_a_bucket_replaces_it(silver: Silver, lake: Lake) -> None:
    silver.write_books(1, [[content(BUCKET_SIZE + 1)]], cursor=1)
    silver.write_books(0, [[content(1), content(2, offers={"other": "1.00"})]], cursor=1)
    silver.write_books(0, [[content(1, title="New")]], cursor=2)
    assert titles(silver) == ["New", "Book 10001"]
    silver.load_books()
    assert {row["source"] for row in lake_rows(lake, "silver/offers")} == {"demo"}
    silver.write_books(0, [], cursor=3)
    silver.write_books(1, [], cursor=3)
    assert titles(silver) == []
    assert silver.load_books() == 3


def test_a_snapshot_does_not_change(silver: Silver) -> None:
    silver.write_books(0, [[content(1)]], cursor=1)
    snapshot = silver.snapshot()
    silver.load_books()
    silver.write_books(0, [[content(1, title="New")]], cursor=2)
    assert [table["title"].to_pylist() for table in snapshot.books()] == [["Book 1"]]
    assert titles(silver) == ["New"]


@pytest.mark.parametrize("step", range(4))
def test_a_writer_killed_between_books_and_offers_shows_no_snapshot_and_is_repeated(
    silver: Silver, lake: Lake, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    silver.write_books(0, [[content(1)]], cursor=1)
    silver.write_books(1, [[content(BUCKET_SIZE + 1)]], cursor=1)
    crash_after(step, monkeypatch, LakeTable, "replace")

    def write(title: str, cursor: int) -> None:
        for bucket in (0, 1):
            number = bucket * BUCKET_SIZE + 1
            reached_cursor = cursor if bucket else silver.load_books()
            silver.write_books(bucket, [[content(number, title=title)]], cursor=reached_cursor)

    with suppress(SimulatedCrash):
        write("New", 2)
    monkeypatch.undo()
    restarted_silver = Silver(lake)
    assert restarted_silver.load_books() == 1
    if step == 3:  # the books are at 2, the offers at 1
        with pytest.raises(ConcurrentWriteError):
            restarted_silver.snapshot()
    silver = restarted_silver
    write("Newer", 3)
    assert titles(silver) == ["Newer", "Newer"]
    assert (silver.snapshot().sequence, silver.load_books()) == (3, 3)


def change(
    sequence: int, before: bytes | None, after: bytes | None, *, day: int = 0, removed: bool = False
) -> ChangeDiff:
    return ChangeDiff(sequence, 1, day * DAY + 1000, removed, before, after)


def test_each_changed_price_or_stock_is_one_observation(lake: Lake, silver: Silver) -> None:
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
    silver.append_observations([changes[:2], changes[2:3]], cursor=3)
    silver.append_observations([changes[3:]], cursor=9)
    assert Silver(lake).observations.load() == 9
    rows = lake_rows(lake, "silver/observations")
    observations = [(row["source"], row["date"], row["sequence"], str(row["price_amount"])) for row in rows]
    assert sorted(observations) == [
        ("demo", date(1970, 1, 1), 1, "10.0000"),
        ("demo", date(1970, 1, 2), 4, "11.0000"),
        ("demo", date(1970, 1, 2), 6, "11.0000"),
        ("other", date(1970, 1, 1), 2, "9.0000"),
        ("other", date(1970, 1, 2), 6, "9.0000"),
    ]


def test_changes_without_an_observation_move_the_cursor(lake: Lake, silver: Silver) -> None:
    silver.append_observations([[change(1, None, None)]], cursor=1)
    assert Silver(lake).observations.load() == 1
    assert lake_rows(lake, "silver/observations") == []


def test_a_slower_writer_cannot_append_the_same_changes(lake: Lake, silver: Silver) -> None:
    slow = Silver(lake)
    slow.observations.load()
    changes = [[change(1, None, content(1))]]
    silver.append_observations(changes, cursor=1)
    with pytest.raises(ConcurrentWriteError):
        slow.append_observations(changes, cursor=1)
    assert len(lake_rows(lake, "silver/observations")) == 1


def test_deleted_tables_are_created_again(lake: Lake, silver: Silver) -> None:
    silver.write_books(0, [[content(1)]], cursor=1)
    silver.append_observations([[change(1, None, content(1))]], cursor=1)
    silver.delete()
    restarted_silver = Silver(lake)
    assert (restarted_silver.load_books(), restarted_silver.observations.load()) == (0, 0)
    restarted_silver.write_books(0, [[content(2)]], cursor=5)
    assert titles(restarted_silver) == ["Book 2"]


@pytest.mark.parametrize("kind", ["folder", "s3", "gcs"])
def test_an_export_is_written_and_deleted_in_each_store(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_writer, "_MAX_OPEN_FILES", 2)
    lake = open_lake(kind, request, tmp_path)
    silver = Silver(lake)
    silver.load_books()
    books = [content(1), content(2, offers={"demo": "5.00", "a": "6.00", "b": None}), content(3, offers={"b": "7.00"})]
    silver.write_books(0, [books], cursor=4)
    export = write_export(lake, silver.snapshot(), now=lambda: datetime(2026, 1, 31, tzinfo=UTC))
    assert (export.version, export.books, export.offers) == (4, 3, 5)
    assert read_export(lake, 4) == export
    assert {file.source: file.rows for file in export.files if file.source} == {"a": 1, "b": 2, "demo": 2}
    for file in export.files:
        data = lake.read(file.path)
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    assert export_versions(lake) == [4]
    delete_export(lake, export)
    assert lake.list("exports") == []

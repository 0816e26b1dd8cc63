"""Tests of downloads: exports, deltas and snapshots."""

import asyncio
import csv
import hashlib
import io
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bookwheel_catalog.concurrency_limit import ConcurrencyLimiter
from bookwheel_catalog.search.cursors import encode_cursor
from bookwheel_contracts import BOOK_DETAILS
from bookwheel_contracts.exports import ExportRequest
from bookwheel_contracts.problems import RateLimitedError, UnavailableError
from bookwheel_contracts.redis_keys import EXPORT_STREAM
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.export_writer import delete_export, read_export, write_export
from bookwheel_stores.lake.silver import Silver
from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.feed.snapshots import Snapshot, SnapshotReader
from bookwheel_stores.records.tables import book, change
from bookwheel_stores.streams import StreamReader, connect_redis
from bookwheel_testing.internal_tokens import internal_token
from sqlalchemy import Engine, update

DAY = 86_400_000
START = 1_767_225_600_000  # 2026-01-01
HOSTILE = '=HYPERLINK("x")",\n\r\n\t\'; DROP TABLE \0 <b>猫 '


class Feed:
    """Writes changes as the processor does, one a day from 2026-01-01 on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._revisions: dict[int, int] = {}

    def write(self, number: int, kind: str = "added", *, content: bool = True, **facts: Any) -> int:
        revision = self._revisions[number] = self._revisions.get(number, 0) + 1
        with self._engine.begin() as connection:
            if revision == 1:
                row = {"number": number, "book_id": f"demo:{number}", "title": "t", "authors": "[]", "in_stock": True}
                dialect_of(connection).insert_rows(
                    connection, book, [row | {"first_seen": 0, "last_changed": 0, "revision": 1}]
                )
            head = SnapshotReader(self._engine).head()
            row = {"book_number": number, "revision": revision, "kind": kind, "fields": "[]", "run_id": "run"}
            text = book_content(number, revision, **facts) if content else None
            dialect_of(connection).insert_rows(
                connection, change, [row | {"changed_at": START + head * DAY, "content": text}]
            )
        return head + 1


def book_content(number: int, revision: int, *, price: str | None = "10.00", source: str = "demo", **facts: Any) -> str:
    money = price and {"amount": price, "currency": "GBP"}
    seen = "2026-01-01T00:00:00.000Z"
    availability = {"price": money, "stock": 2, "in_stock": True}
    offer = {"source": source, "url": f"http://{source}/{number}", "first_seen": seen, **availability}
    row = dict.fromkeys(BOOK_DETAILS) | {"title": f"Book {number}", "authors": ["Ann Lee"]}
    row |= {"id": f"demo:{number}", **availability, "offers": [offer]}
    return orjson.dumps(row | {"first_seen": seen, "last_changed": seen, "revision": revision} | facts).decode()


@pytest.fixture
def lake(stores: Any, tmp_path: Path) -> Lake:
    return Lake(LakeAddress((tmp_path / "lake").as_uri()))


@pytest.fixture
def feed(stores: Any) -> Feed:
    return Feed(stores.engine)


@pytest.fixture
async def client(stores: Any, lake: Lake, make_client: Callable[..., Any]) -> AsyncIterator[httpx.AsyncClient]:
    async with make_client(stores, lake_url=lake.address.url) as client:
        yield client


@pytest.fixture
def export(stores: Any, lake: Lake) -> Callable[[], int]:
    def export() -> int:
        states = SnapshotReader(stores.engine)
        head = states.head()
        silver = Silver(lake)
        silver.load_books()
        silver.write_books(0, states.book_pages(Snapshot(sequence=head)), cursor=head)
        return write_export(lake, silver.snapshot(), now=lambda: datetime.now(UTC)).version

    return export


async def test_files_of_an_export_match_its_manifest(
    feed: Feed, client: httpx.AsyncClient, export: Callable[[], int]
) -> None:
    feed.write(1, category="Science", rating=4.5)
    feed.write(2, title=HOSTILE, description="", price=None, source="other/shop")
    version = export()
    listed = (await client.get("/exports")).json()
    assert listed["next"] is None
    [export_json] = listed["items"]
    assert (export_json["version"], export_json["books"], export_json["offers"]) == (version, 2, 2)
    assert (await client.get(f"/exports/{version}")).json() == export_json
    tables = {(file["table"], file["format"], file["source"]): file for file in export_json["files"]}
    assert set(tables) == {
        ("books", "csv", None),
        ("books", "parquet", None),
        ("offers", "parquet", None),
        ("offers", "csv", "demo"),
        ("offers", "csv", "other/shop"),
        ("categories", "csv", None),
        ("dictionary", "csv", None),
    }
    for file in export_json["files"]:
        response = await client.get(f"/{file['path']}")
        assert response.status_code == 200
        assert hashlib.sha256(response.content).hexdigest() == file["sha256"]
        assert len(response.content) == file["size"] == int(response.headers["Content-Length"])
        assert response.headers["ETag"] == f'"{file["sha256"]}"'
        assert response.headers["Content-Disposition"].startswith(f'attachment; filename="bookwheel-{version}-')
        if file["format"] == "csv":
            assert len(list(csv.reader(io.StringIO(response.text, newline="")))) == file["rows"] + 1


async def test_csv_and_parquet_have_the_same_rows_with_unchanged_text(
    feed: Feed, client: httpx.AsyncClient, export: Callable[[], int]
) -> None:
    feed.write(1, category="Science", rating=4.5, rating_count=7)
    feed.write(2, title=HOSTILE, description="", price=None, authors=["A; B", 'C"'])
    feed.write(3, category="Fiction", stock=None)
    feed.write(4, category="Science", price="0.0125")
    version = export()
    text = (await client.get(f"/exports/csv/{version}/books.csv")).text
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    table = pq.read_table(pa.BufferReader((await client.get(f"/exports/parquet/{version}/books.parquet")).content))
    assert [row["title"] for row in rows] == table["title"].to_pylist() == ["Book 1", HOSTILE, "Book 3", "Book 4"]
    assert [row["category_code"] for row in rows] == ["0", "-1", "1", "0"]
    assert table["category_code"].to_pylist() == [0, -1, 1, 0]
    assert [row["price_amount"] for row in rows] == ["10.00", "", "10.00", "0.0125"]
    assert str(table["price_amount"].to_pylist()[3]) == "0.0125"
    assert [orjson.loads(row["authors"]) for row in rows] == table["authors"].to_pylist()
    assert '"demo:2"' in text
    frame = table.to_pandas()
    assert isinstance(frame["category"].dtype, pd.CategoricalDtype)
    assert frame["rating"].isna().tolist() == [False, True, True, True]
    codes = (await client.get(f"/exports/csv/{version}/categories.csv")).text
    assert list(csv.reader(io.StringIO(codes)))[1:] == [["0", "Science"], ["1", "Fiction"]]
    dictionary = (await client.get(f"/exports/csv/{version}/dictionary.csv")).text
    columns = {row["column"]: row for row in csv.DictReader(io.StringIO(dictionary)) if row["table"] == "books"}
    assert list(columns) == list(rows[0]) == table.column_names
    assert (columns["category"]["type"], columns["price_amount"]["type"]) == ("category", "decimal128(14, 4)")


async def test_file_supports_byte_ranges_and_etags(
    feed: Feed, client: httpx.AsyncClient, export: Callable[[], int]
) -> None:
    feed.write(1)
    path = f"/exports/csv/{export()}/books.csv"
    whole = await client.get(path)
    etag, size = whole.headers["ETag"], len(whole.content)
    assert whole.headers["Accept-Ranges"] == "bytes"
    part = await client.get(path, headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["Content-Range"] == f"bytes 10-19/{size}"
    assert part.headers["Content-Length"] == "10"
    rest = await client.get(path, headers={"Range": f"bytes={size - 5}-", "If-Range": etag})
    assert rest.content == whole.content[-5:]
    changed = await client.get(path, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (changed.status_code, changed.content) == (200, whole.content)
    assert (await client.get(path, headers={"If-None-Match": etag})).status_code == 304
    after_end = await client.get(path, headers={"Range": f"bytes={size}-"})
    assert (after_end.status_code, after_end.json()["code"]) == (416, "range_not_satisfiable")
    assert after_end.headers["Content-Range"] == f"bytes */{size}"
    head = await client.head(path)
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(size))


async def test_exports_are_listed_newest_first_in_pages(
    feed: Feed, client: httpx.AsyncClient, export: Callable[[], int], lake: Lake
) -> None:
    versions = []
    for number in range(1, 6):
        feed.write(number)
        versions.append(export())
    assert export() == versions[-1]
    seen: list[int] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await client.get("/exports", params=query)).json()
        seen += [item["version"] for item in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert seen == versions[::-1]
    old = read_export(lake, versions[0])
    assert old is not None
    file = f"/exports/parquet/{versions[0]}/books.parquet"
    assert [(await client.head(file)).status_code, (await client.get(f"/exports/{versions[0]}")).status_code] == [
        200,
        200,
    ]
    delete_export(lake, old)
    for path in (file, f"/exports/{versions[0]}"):
        assert (await client.get(path)).json()["detail"] == f"Export {versions[0]} does not exist."
    assert (await client.head(file)).status_code == 404
    assert [file for file in lake.list("exports") if f"/{versions[0]}/" in file.path] == []


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/exports/99", 404, "not_found"),
        ("/exports/x", 400, "invalid_parameter"),
        ("/exports/csv/1/no.csv", 404, "not_found"),
        ("/exports/csv/1/..%2F..%2Fversions%2F1.json", 404, "not_found"),
        ("/exports/csv/99/books.csv", 404, "not_found"),
        ("/exports/xml/1/books.csv", 400, "invalid_parameter"),
        ("/exports?cursor=x", 400, "invalid_cursor"),
        *((f"/exports?cursor={encode_cursor([part])}", 400, "invalid_cursor") for part in ("a", None, 1.5, True)),
        ("/exports?page=2", 400, "invalid_parameter"),
        ("/exports/2..1", 400, "invalid_parameter"),
        ("/exports/0..9999", 404, "not_found"),
        ("/exports/0..1?format=xml", 400, "invalid_parameter"),
        ("/exports/books.csv?as_of=yesterday", 400, "invalid_parameter"),
        ("/exports/books.csv?as_of=2999-01-01", 400, "invalid_parameter"),
        ("/exports/books.csv?as_of=0001-01-01T00:00:00%2B01:00", 400, "invalid_parameter"),
        ("/exports/books.json", 400, "invalid_parameter"),
    ],
)
async def test_invalid_download_returns_a_problem(
    feed: Feed, client: httpx.AsyncClient, export: Callable[[], int], path: str, status: int, code: str
) -> None:
    feed.write(1)
    export()
    response = await client.get(path)
    assert (response.status_code, response.json()["code"]) == (status, code)


async def test_unavailable_lake_returns_503(stores: Any, feed: Feed, make_client: Callable[..., Any]) -> None:
    unreachable_lake = {"lake_url": "s3://x", "lake_endpoint": "http://127.0.0.1:9"}
    async with make_client(stores, **unreachable_lake, lake_access_key="a", lake_secret_key="b") as client:
        response = await client.get("/exports")
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["Retry-After"]


async def test_operator_requests_an_export(stores: Any, feed: Feed, client: httpx.AsyncClient, redis_url: str) -> None:
    head = feed.write(1)
    assert (await client.post("/exports")).status_code == 403
    response = await client.post("/exports", headers={"Authorization": f"Bearer {internal_token('admin')}"})
    assert (response.status_code, response.json()) == (202, {"at_least": head})
    with connect_redis(redis_url) as redis:
        [entry] = StreamReader(redis, EXPORT_STREAM, group="processor", consumer="test").read(10)
    request = ExportRequest.model_validate_json(entry.body)
    assert (request.version, request.requested_by) == (head, "user:1")


async def test_delta_contains_added_modified_and_removed_books(feed: Feed, client: httpx.AsyncClient) -> None:
    feed.write(1)
    feed.write(2)
    earlier = feed.write(3)
    feed.write(1, "modified", price="12.00", title=HOSTILE)
    feed.write(2, "removed")
    feed.write(3, "modified", price="11.00")
    feed.write(3, "modified")  # the same content as before
    feed.write(4, category="New")
    feed.write(5)
    later = feed.write(5, "removed")
    delta = (await client.get(f"/exports/{earlier}..{later}")).json()
    assert (delta["from"], delta["to"]) == (earlier, later)
    items_by_book = {item["book_id"]: item for item in delta["items"]}
    assert {book_id: item["change"] for book_id, item in items_by_book.items()} == {
        "demo:1": "modified",
        "demo:2": "removed",
        "demo:4": "added",
    }
    assert items_by_book["demo:1"]["fields"] == ["offers", "price", "title"]
    assert items_by_book["demo:1"]["before"]["title"] == "Book 1"
    assert items_by_book["demo:1"]["after"]["title"] == HOSTILE
    assert items_by_book["demo:2"]["after"] is None
    assert items_by_book["demo:4"]["before"] is None
    parquet = await client.get(f"/exports/{earlier}..{later}", params={"format": "parquet"})
    rows = pq.read_table(pa.BufferReader(parquet.content)).to_pylist()
    assert [(row["change"], row["book_id"], row["before_title"], row["title"]) for row in rows] == [
        ("modified", "demo:1", "Book 1", HOSTILE),
        ("removed", "demo:2", "Book 2", None),
        ("added", "demo:4", None, "Book 4"),
    ]
    assert [str(row["before_price_amount"]) for row in rows] == ["10.0000", "10.0000", "None"]
    text = (await client.get(f"/exports/{earlier}..{later}", params={"format": "csv"})).text
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert next((line["change"], line["title"], line["before_title"]) for line in lines) == (
        "modified",
        HOSTILE,
        "Book 1",
    )
    assert (await client.get(f"/exports/{later}..{later}")).json()["items"] == []
    assert len((await client.get(f"/exports/0..{later}")).json()["items"]) == 3


async def test_delta_equals_the_difference_of_two_exports(
    feed: Feed, client: httpx.AsyncClient, export: Callable[[], int]
) -> None:
    for number in range(1, 20):
        feed.write(number)
    earlier = export()
    for number in range(5, 12):
        feed.write(number, "modified" if number % 2 else "removed", price="1.00")
    feed.write(30)
    later = export()

    async def books(version: int) -> dict[str, Any]:
        content = (await client.get(f"/exports/parquet/{version}/books.parquet")).content
        return {row["book_id"]: row["price_amount"] for row in pq.read_table(pa.BufferReader(content)).to_pylist()}

    before, after = await books(earlier), await books(later)
    items = (await client.get(f"/exports/{earlier}..{later}")).json()["items"]
    by_kind = {
        kind: {item["book_id"] for item in items if item["change"] == kind} for kind in ("added", "modified", "removed")
    }
    assert by_kind["added"] == after.keys() - before.keys()
    assert by_kind["removed"] == before.keys() - after.keys()
    assert by_kind["modified"] == {
        book_id for book_id in before.keys() & after.keys() if before[book_id] != after[book_id]
    }


async def test_snapshot_as_of_a_past_time(feed: Feed, client: httpx.AsyncClient) -> None:
    feed.write(1)
    feed.write(2)
    feed.write(1, "modified", title="Renamed")
    feed.write(2, "removed")
    feed.write(2, "restored", title="Back")

    async def titles(as_of: str | None) -> list[str]:
        response = await client.get("/exports/books.parquet", params={"as_of": as_of} if as_of else {})
        assert response.status_code == 200
        titles: list[str] = pq.read_table(pa.BufferReader(response.content))["title"].to_pylist()
        return titles

    assert await titles("2025-12-31") == []
    assert await titles("2026-01-01") == ["Book 1"]
    assert await titles("2026-01-02T00:00:00Z") == ["Book 1", "Book 2"]
    assert await titles("2026-01-02T23:59:59.999Z") == ["Book 1", "Book 2"]
    assert await titles("2026-01-03T01:00:00+01:00") == ["Renamed", "Book 2"]
    assert await titles("2026-01-04") == ["Renamed"]
    assert await titles("2026-01-05") == await titles(None) == ["Renamed", "Back"]
    response = await client.get("/exports/books.csv", params={"as_of": "2026-01-03"})
    assert response.headers["Content-Disposition"] == 'attachment; filename="bookwheel-2026-01-03T23-59-59Z-books.csv"'
    assert [row["title"] for row in csv.DictReader(io.StringIO(response.text))] == ["Renamed", "Book 2"]


async def test_snapshot_without_stored_books_is_a_conflict(stores: Any, feed: Feed, client: httpx.AsyncClient) -> None:
    first = feed.write(1, content=False)
    second = feed.write(1, "modified")
    response = await client.get("/exports/books.csv", params={"as_of": "2026-01-01"})
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert (await client.get(f"/exports/{first}..{second}")).status_code == 409
    assert (await client.get("/exports/books.csv", params={"as_of": "2026-01-02"})).status_code == 200
    assert (await client.get(f"/exports/0..{second}")).json()["items"][0]["change"] == "added"
    with stores.engine.begin() as connection:
        connection.execute(update(change).where(change.c.sequence == first).values(kind="removed"))
    assert (await client.get("/exports/books.csv", params={"as_of": "2026-01-01"})).status_code == 200


async def test_as_of_cannot_inject_headers(feed: Feed, client: httpx.AsyncClient) -> None:
    feed.write(1)
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat(sep="\n")
    response = await client.get("/exports/books.csv", params={"as_of": past})
    assert response.status_code in {200, 400}
    assert "\n" not in response.headers.get("Content-Disposition", "")


async def test_concurrent_generated_downloads_of_a_user_are_limited(
    stores: Any, lake: Lake, feed: Feed, make_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    started, is_released = threading.Event(), threading.Event()

    def block(*_: object, **__: object) -> Iterator[bytes]:
        started.set()
        is_released.wait(30)
        yield b"{}"

    feed.write(1)
    monkeypatch.setattr("bookwheel_catalog.exports.router.delta_json", block)
    async with make_client(stores, lake_url=lake.address.url, made_downloads_subject=1) as client:
        first = asyncio.create_task(client.get("/exports/0..1"))
        await asyncio.to_thread(started.wait, 30)
        for path in ("/exports/0..1", "/exports/books.csv"):
            rejected = await client.get(path)
            assert (rejected.status_code, rejected.json()["code"]) == (429, "rate_limited")
            assert rejected.headers["Retry-After"] == "10"
        is_released.set()
        assert (await first).status_code == 200
        assert (await client.get("/exports/books.csv")).status_code == 200


def test_concurrency_limiter_limits_process_and_user() -> None:
    limiter = ConcurrencyLimiter("downloads", limit=2, subject_limit=1)
    with limiter.acquire("ann"):
        with pytest.raises(RateLimitedError, match="have 1 downloads"), limiter.acquire("ann"):
            pass
        with (
            limiter.acquire("bea"),
            pytest.raises(UnavailableError, match="concurrent downloads"),
            limiter.acquire("cy"),
        ):
            pass
        with limiter.acquire("cy"):
            assert not limiter.is_idle
    assert limiter.is_idle

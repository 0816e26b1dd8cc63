"""Tests of a catalog with many categories: limited responses, correct counts, complete exports.

`BOOKWHEEL_CATEGORIES` is the number of categories.
"""

import csv
import io
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bookwheel_catalog.statistics.router import MAX_CATEGORIES, MAX_SUMMARIZED_CATEGORIES
from bookwheel_contracts import BOOK_DETAILS, BookState
from bookwheel_stores.lake import Lake, LakeAddress
from bookwheel_stores.lake.export_writer import write_export
from bookwheel_stores.lake.silver import BUCKET_SIZE, Silver
from bookwheel_stores.search import open_index_writer

CATEGORIES = int(os.environ.get("BOOKWHEEL_CATEGORIES", "20000"))
POPULAR, RARE = "Category 0000007", f"Category {CATEGORIES:07}"
MORE = 10
"""Additional books of the popular category. Every other category has one book."""
BOOKS = CATEGORIES + MORE
_BATCH = 5000

MakeClient = Callable[..., AbstractAsyncContextManager[httpx.AsyncClient]]


def content(number: int) -> bytes:
    seen = "2026-01-31T08:15:00.000Z"
    price = {"amount": f"{number % 90 + 1}.50", "currency": "GBP"}
    offer = {"source": "demo", "url": f"http://x/{number}", "price": price, "stock": 3, "in_stock": True}
    return orjson.dumps(
        {
            **dict.fromkeys(BOOK_DETAILS),
            "id": f"demo:{number}",
            "title": f"Book {number}",
            "authors": ["Ann Lee"],
            "category": f"Category {number:07}" if number <= CATEGORIES else POPULAR,
            "rating": 4.0,
            "price": price,
            "stock": 3,
            "in_stock": True,
            "offers": [offer | {"first_seen": seen}],
            "first_seen": seen,
            "last_changed": seen,
            "revision": 1,
        }
    )


@pytest.fixture(scope="module")
def index(search_url: str) -> str:
    with open_index_writer(search_url) as writer:
        for start in range(1, BOOKS + 1, _BATCH):
            numbers = range(start, min(start + _BATCH, BOOKS + 1))
            writer.apply([BookState(number, f"demo:{number}", 1, False, content(number)) for number in numbers])
    return search_url


@pytest.fixture
async def client(stores: Any, index: str, make_client: MakeClient) -> AsyncIterator[httpx.AsyncClient]:
    async with make_client(stores, search_url=index) as client:
        yield client


async def get(client: httpx.AsyncClient, path: str) -> Any:
    response = await client.get(path)
    assert response.status_code == 200, response.text
    return response.json()


async def test_facet_has_the_most_frequent_and_the_selected_categories(client: httpx.AsyncClient) -> None:
    content = await get(client, "/books?facet=category&limit=1")
    values = content["facets"]["category"]
    assert (content["total"]["value"], len(values)) == (BOOKS, 100)
    assert values[0] == {"value": POPULAR, "count": 1 + MORE, "selected": False}
    content = await get(client, f"/books?facet=category&filter=category:{RARE}")
    values = content["facets"]["category"]
    assert (content["total"]["value"], len(values)) == (1, 101)
    assert values[-1] == {"value": RARE, "count": 1, "selected": True}


async def test_list_of_categories_is_limited_and_marked_incomplete(client: httpx.AsyncClient) -> None:
    content = await get(client, "/categories")
    counts = {item["name"]: item["count"] for item in content["items"]}
    assert len(counts) == len(content["items"]) == min(CATEGORIES, MAX_CATEGORIES)
    assert content["complete"] is (CATEGORIES <= MAX_CATEGORIES)
    assert counts.pop(POPULAR) == 1 + MORE
    assert set(counts.values()) == {1}
    assert list(counts) == sorted(counts)
    filtered = await get(client, f"/categories?filter=category:{RARE}")
    assert filtered == {"items": [{"name": RARE, "count": 1}], "complete": True}


async def test_statistics_by_category_are_limited_to_the_largest_categories(client: httpx.AsyncClient) -> None:
    content = await get(client, "/stats/categories")
    statistics = {item["category"]: item for item in content["items"]}
    assert len(statistics) == len(content["items"]) == min(CATEGORIES, MAX_SUMMARIZED_CATEGORIES)
    assert content["complete"] is (CATEGORIES <= MAX_SUMMARIZED_CATEGORIES)
    assert list(statistics) == sorted(statistics)
    popular = statistics.pop(POPULAR)
    assert (popular["books"], popular["in_stock"], popular["prices"][0]["count"]) == (1 + MORE,) * 3
    prices = sorted([7 % 90 + 1.5, *(number % 90 + 1.5 for number in range(CATEGORIES + 1, BOOKS + 1))])
    assert popular["prices"][0]["median"] == f"{prices[MORE // 2]:.2f}"
    assert {item["books"] for item in statistics.values()} == {1}
    filtered = await get(client, f"/stats/categories?filter=category:{RARE}&filter=category:{POPULAR}")
    assert [(item["category"], item["books"]) for item in filtered["items"]] == [(POPULAR, 1 + MORE), (RARE, 1)]
    assert filtered["complete"] is True


async def test_overview_counts_all_categories_and_suggestions_are_limited(client: httpx.AsyncClient) -> None:
    content = await get(client, "/stats/overview")
    assert content["books"] == BOOKS
    assert content["categories"] == pytest.approx(CATEGORIES, rel=0 if CATEGORIES < 30_000 else 0.05)
    assert len((await get(client, "/suggest?q=category&type=category&limit=10"))["items"]) == 10


def test_export_has_a_code_for_each_category(tmp_path: Path) -> None:
    lake = Lake(LakeAddress(tmp_path.as_uri()))
    silver = Silver(lake)
    silver.load_books()
    for bucket in range(BOOKS // BUCKET_SIZE + 1):
        numbers = range(max(bucket * BUCKET_SIZE, 1), min((bucket + 1) * BUCKET_SIZE, BOOKS + 1))
        silver.write_books(bucket, [[content(number) for number in numbers]], cursor=1)
    export = write_export(lake, silver.snapshot(), now=lambda: datetime(2026, 1, 31, tzinfo=UTC))
    assert (export.books, export.offers) == (BOOKS, BOOKS)
    files = {(file.table, file.format): file for file in export.files}
    assert files["categories", "csv"].rows == CATEGORIES
    rows = csv.DictReader(io.StringIO(lake.read(files["categories", "csv"].path).decode(), newline=""))
    codes = {row["category"]: int(row["category_code"]) for row in rows}
    assert sorted(codes.values()) == list(range(CATEGORIES))
    for table in ("books", "offers"):
        table_rows = pq.read_table(pa.BufferReader(lake.read(files[table, "parquet"].path)))
        pairs = zip(table_rows["category"].to_pylist(), table_rows["category_code"].to_pylist(), strict=True)
        assert all(codes[name] == code for name, code in pairs)
        assert table_rows.num_rows == BOOKS

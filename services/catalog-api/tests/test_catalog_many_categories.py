"""A shop that names a category of its own for each book: answers stay bounded, their counts right, exports whole.

`BOOKWHEEL_CATEGORIES` sets how many there are.
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
"""Books of the popular category beside its first. All others have one book."""
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
async def client(suite: Any, index: str, make_client: MakeClient) -> AsyncIterator[httpx.AsyncClient]:
    async with make_client(suite, search_url=index) as client:
        yield client


async def get(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_facet_shows_those_with_most_books_and_whatever_is_selected(client: httpx.AsyncClient) -> None:
    found = await get(client, "/books?facet=category&limit=1")
    values = found["facets"]["category"]
    assert (found["total"]["value"], len(values)) == (BOOKS, 100)
    assert values[0] == {"value": POPULAR, "count": 1 + MORE, "selected": False}
    found = await get(client, f"/books?facet=category&filter=category:{RARE}")
    values = found["facets"]["category"]
    assert (found["total"]["value"], len(values)) == (1, 101)
    assert values[-1] == {"value": RARE, "count": 1, "selected": True}


async def test_the_list_of_categories_is_cut_and_says_so(client: httpx.AsyncClient) -> None:
    found = await get(client, "/categories")
    counts = {each["name"]: each["count"] for each in found["items"]}
    assert len(counts) == len(found["items"]) == min(CATEGORIES, MAX_CATEGORIES)
    assert found["complete"] is (CATEGORIES <= MAX_CATEGORIES)
    assert counts.pop(POPULAR) == 1 + MORE
    assert set(counts.values()) == {1}
    assert list(counts) == sorted(counts)
    one = await get(client, f"/categories?filter=category:{RARE}")
    assert one == {"items": [{"name": RARE, "count": 1}], "complete": True}


async def test_figures_by_category_are_of_those_with_most_books(client: httpx.AsyncClient) -> None:
    found = await get(client, "/stats/categories")
    figures = {each["category"]: each for each in found["items"]}
    assert len(figures) == len(found["items"]) == min(CATEGORIES, MAX_SUMMARIZED_CATEGORIES)
    assert found["complete"] is (CATEGORIES <= MAX_SUMMARIZED_CATEGORIES)
    assert list(figures) == sorted(figures)
    popular = figures.pop(POPULAR)
    assert (popular["books"], popular["in_stock"], popular["prices"][0]["count"]) == (1 + MORE,) * 3
    prices = sorted([7 % 90 + 1.5, *(number % 90 + 1.5 for number in range(CATEGORIES + 1, BOOKS + 1))])
    assert popular["prices"][0]["median"] == f"{prices[MORE // 2]:.2f}"
    assert {each["books"] for each in figures.values()} == {1}
    one = await get(client, f"/stats/categories?filter=category:{RARE}&filter=category:{POPULAR}")
    assert [(each["category"], each["books"]) for each in one["items"]] == [(POPULAR, 1 + MORE), (RARE, 1)]
    assert one["complete"] is True


async def test_the_overview_counts_them_and_suggestions_stay_few(client: httpx.AsyncClient) -> None:
    found = await get(client, "/stats/overview")
    assert found["books"] == BOOKS
    assert found["categories"] == pytest.approx(CATEGORIES, rel=0 if CATEGORIES < 30_000 else 0.05)
    assert len((await get(client, "/suggest?q=category&type=category&limit=10"))["items"]) == 10


def test_an_export_has_a_code_for_each_of_them(tmp_path: Path) -> None:
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
        whole = pq.read_table(pa.BufferReader(lake.read(files[table, "parquet"].path)))
        named = zip(whole["category"].to_pylist(), whole["category_code"].to_pylist(), strict=True)
        assert all(codes[name] == code for name, code in named)
        assert whole.num_rows == BOOKS

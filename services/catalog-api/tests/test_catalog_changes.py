"""Tests of pages of the change feed: positions, filters, content, waiting."""

import asyncio
from typing import Any

import httpx
import pytest
from bookwheel_catalog.changes import pages as change_pages
from bookwheel_catalog.changes.models import ChangeList
from bookwheel_stores.streams import announce_changes, connect_redis
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.feed_writer import FeedWriter
from sqlalchemy import text


@pytest.fixture
def feed(stores: CatalogStores) -> FeedWriter:
    return FeedWriter(stores.engine)


async def get(client: httpx.AsyncClient, **query: Any) -> Any:
    response = await client.get("/changes", params=query)
    assert response.status_code == 200, response.text
    ChangeList.model_validate_json(response.content)
    return response.json()


def summarize(page: Any) -> list[tuple[int, str, str]]:
    return [(item["sequence"], item["book_id"], item["kind"]) for item in page["items"]]


async def test_next_continues_from_page_to_page_and_after_new_changes(
    feed: FeedWriter, client: httpx.AsyncClient
) -> None:
    feed.add("1", "2", "3")
    feed.modify("demo:2", price=99_900)
    first = await get(client, limit=3)
    assert summarize(first) == [(1, "demo:1", "added"), (2, "demo:2", "added"), (3, "demo:3", "added")]
    assert (first["next"], first["more"]) == ("3", True)
    second = await get(client, after=first["next"])
    assert summarize(second) == [(4, "demo:2", "modified")]
    assert (second["next"], second["more"]) == ("4", False)
    at_the_end = await get(client, after="4")
    assert at_the_end == {"items": [], "next": "4", "more": False}
    feed.remove("demo:1")
    assert summarize(await get(client, after=at_the_end["next"])) == [(5, "demo:1", "removed")]
    assert (await get(client, after="latest")) == {"items": [], "next": "5", "more": False}


async def test_change_contains_the_book_at_its_revision(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1", title="Moon")
    feed.modify("demo:1", price=99_900)
    feed.remove("demo:1")
    added, modified, removed = (await get(client))["items"]
    assert (added["book"]["title"], added["book"]["price"]["amount"]) == ("Moon", "10.50")
    assert (modified["fields"], modified["book"]["price"]["amount"]) == (["price"], "9.99")
    assert removed["book"]["id"] == "demo:1"
    assert [item["book"]["revision"] for item in (added, modified, removed)] == [1, 2, 3]


async def test_changes_of_older_releases_have_no_book(
    stores: CatalogStores, feed: FeedWriter, client: httpx.AsyncClient
) -> None:
    feed.add("1")
    with stores.engine.begin() as connection:
        connection.execute(text("UPDATE change SET content = NULL"))
    assert [item["book"] for item in (await get(client))["items"]] == [None]
    assert (await get(client, filter="source:demo"))["items"] == []


@pytest.mark.parametrize(
    ("filters", "sequences"),
    [
        (["kind:removed"], [5]),
        (["kind:removed", "kind:modified"], [4, 5]),
        (["source:other"], [3]),
        (["category:Fiction"], [2]),
        (["field:price"], [4]),
        (["kind:added", "source:demo", "category:Science"], [1]),
        (["category:Nowhere"], []),
    ],
)
async def test_filters_select_changes_and_next_moves_to_the_end(
    feed: FeedWriter, client: httpx.AsyncClient, filters: list[str], sequences: list[int]
) -> None:
    feed.add("1")
    feed.add("2", category="Fiction")
    feed.add("3", source="other", category="Travel")
    feed.modify("demo:1", price=1)
    feed.remove("demo:1")
    page = await get(client, filter=filters)
    assert [item["sequence"] for item in page["items"]] == sequences
    assert (page["next"], page["more"]) == ("5", False)


async def test_rare_match_needs_several_pages(
    feed: FeedWriter, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_pages, "_MAX_SCANNED_CHANGES", 20)
    monkeypatch.setattr(change_pages, "_BATCH_SIZE", 10)
    feed.add(*(str(number) for number in range(50)))
    feed.add("rare", source="other")
    items, position, pages = [], "0", 0
    while True:
        page = await get(client, after=position, filter="source:other")
        items += page["items"]
        position, pages = page["next"], pages + 1
        if not page["more"]:
            break
    assert [item["book_id"] for item in items] == ["other:rare"]
    assert (position, pages) == ("51", 3)


async def test_large_changes_are_split_into_short_pages(
    feed: FeedWriter, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_pages, "_MAX_PAGE_BYTES", 10_000)
    for number in range(4):
        feed.add(str(number), description="x" * (20_000 if number == 2 else 4_000))
    sizes, position = [], "0"
    while True:
        page = await get(client, after=position)
        sizes.append(len(page["items"]))
        position = page["next"]
        if not page["more"]:
            break
    assert sizes == [2, 1, 1]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=one", "after"),
        ("after=1&after=", "after"),
        ("after=9999999999999999999999", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("wait=31", "wait"),
        ("wait=nan", "wait"),
        ("filter=price", "filter"),
        ("filter=kind:", "filter"),
        ("filter=kind:deleted", "filter"),
        ("filter=title:x", "filter"),
        ("filter=field:prise", "filter"),
        ("filter=field:price&filter=field:revision", "filter"),
        ("cursor=1", "cursor"),
    ],
)
async def test_error_names_the_invalid_parameter(client: httpx.AsyncClient, query: str, field: str) -> None:
    response = await client.get(f"/changes?{query}")
    assert response.status_code == 400
    assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_position_after_the_end_of_the_feed_is_rejected(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1")
    for path in ("/changes?after=2", "/changes/stream?after=2"):
        response = await client.get(path)
        assert (response.status_code, response.json()["code"]) == (400, "invalid_cursor")


async def test_page_of_changes_has_an_etag(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1")
    response = await client.get("/changes?limit=5&after=0")
    assert response.headers["link"] == '</api/v1/changes?limit=5&after=1>; rel="next"'
    same = await client.get("/changes?limit=5&after=0", headers={"If-None-Match": response.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    feed.add("2")
    other = await client.get("/changes?limit=5&after=0", headers={"If-None-Match": response.headers["etag"]})
    assert other.status_code == 200


async def test_wait_returns_at_the_first_matching_change(
    stores: CatalogStores, feed: FeedWriter, client: httpx.AsyncClient
) -> None:
    loop = asyncio.get_running_loop()
    latest = (await get(client, after="latest"))[
        "next"
    ]  # read before the changes, in case the next request starts late
    waiting = asyncio.create_task(get(client, after=latest, wait=30, filter="source:other"))
    await asyncio.sleep(0.3)
    feed.add("1")
    head = feed.add("2", source="other")
    with connect_redis(stores.environment["BOOKWHEEL_REDIS_URL"]) as redis:
        announce_changes(redis, head)
    started = loop.time()
    assert summarize(await waiting) == [(2, "other:2", "added")]
    assert loop.time() - started < 5
    assert (await get(client, after="2", wait=0.3)) == {"items": [], "next": "2", "more": False}


async def test_changes_require_a_token(client: httpx.AsyncClient) -> None:
    for path in ("/changes", "/changes/stream"):
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 401

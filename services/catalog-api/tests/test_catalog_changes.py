"""The change feed in pages: places, filters, what a change carries, waiting for one."""

import asyncio
from typing import Any, Protocol

import httpx
import pytest
from bookwheel_catalog.changes import pages as change_pages
from bookwheel_catalog.changes.models import ChangeList
from bookwheel_stores.streams import announce_changes, connect_redis
from bookwheel_testing.feed_writer import FeedWriter
from sqlalchemy import Engine, text


class Suite(Protocol):
    """The stores behind the API; see conftest.py."""

    environment: dict[str, str]
    engine: Engine


@pytest.fixture
def feed(suite: Suite) -> FeedWriter:
    return FeedWriter(suite.engine)


async def get(client: httpx.AsyncClient, **query: Any) -> Any:
    answer = await client.get("/changes", params=query)
    assert answer.status_code == 200, answer.text
    ChangeList.model_validate_json(answer.content)
    return answer.json()


def told(page: Any) -> list[tuple[int, str, str]]:
    return [(item["sequence"], item["book_id"], item["kind"]) for item in page["items"]]


async def test_pages_follow_one_another_to_the_end_and_on(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1", "2", "3")
    feed.modify("demo:2", price=99_900)
    first = await get(client, limit=3)
    assert told(first) == [(1, "demo:1", "added"), (2, "demo:2", "added"), (3, "demo:3", "added")]
    assert (first["next"], first["more"]) == ("3", True)
    second = await get(client, after=first["next"])
    assert told(second) == [(4, "demo:2", "modified")]
    assert (second["next"], second["more"]) == ("4", False)
    at_the_end = await get(client, after="4")
    assert at_the_end == {"items": [], "next": "4", "more": False}
    feed.remove("demo:1")
    assert told(await get(client, after=at_the_end["next"])) == [(5, "demo:1", "removed")]
    assert (await get(client, after="latest")) == {"items": [], "next": "5", "more": False}


async def test_a_change_carries_the_book_as_it_was_then(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1", title="Moon")
    feed.modify("demo:1", price=99_900)
    feed.remove("demo:1")
    added, modified, removed = (await get(client))["items"]
    assert (added["book"]["title"], added["book"]["price"]["amount"]) == ("Moon", "10.50")
    assert (modified["fields"], modified["book"]["price"]["amount"]) == (["price"], "9.99")
    assert removed["book"]["id"] == "demo:1"
    assert [item["book"]["revision"] for item in (added, modified, removed)] == [1, 2, 3]


async def test_what_older_versions_wrote_carries_nothing(
    suite: Suite, feed: FeedWriter, client: httpx.AsyncClient
) -> None:
    feed.add("1")
    with suite.engine.begin() as connection:
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
async def test_filters_choose_and_the_place_moves_on(
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


async def test_a_rare_match_is_found_over_several_pages(
    feed: FeedWriter, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_pages, "_MAX_SCANNED_CHANGES", 20)
    monkeypatch.setattr(change_pages, "_BATCH_SIZE", 10)
    feed.add(*(str(number) for number in range(50)))
    feed.add("rare", source="other")
    found, place, pages = [], "0", 0
    while True:
        page = await get(client, after=place, filter="source:other")
        found += page["items"]
        place, pages = page["next"], pages + 1
        if not page["more"]:
            break
    assert [item["book_id"] for item in found] == ["other:rare"]
    assert (place, pages) == ("51", 3)


async def test_big_changes_make_short_pages(
    feed: FeedWriter, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change_pages, "_MAX_PAGE_BYTES", 10_000)
    for number in range(4):
        feed.add(str(number), description="x" * (20_000 if number == 2 else 4_000))
    sizes, place = [], "0"
    while True:
        page = await get(client, after=place)
        sizes.append(len(page["items"]))
        place = page["next"]
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
async def test_a_wrong_parameter_is_named(client: httpx.AsyncClient, query: str, field: str) -> None:
    answer = await client.get(f"/changes?{query}")
    assert answer.status_code == 400
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_a_place_ahead_of_the_feed_is_another_feed_s(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1")
    for path in ("/changes?after=2", "/changes/stream?after=2"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


async def test_an_answer_that_the_client_has_is_not_sent_again(feed: FeedWriter, client: httpx.AsyncClient) -> None:
    feed.add("1")
    answer = await client.get("/changes?limit=5&after=0")
    assert answer.headers["link"] == '</api/v1/changes?limit=5&after=1>; rel="next"'
    same = await client.get("/changes?limit=5&after=0", headers={"If-None-Match": answer.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    feed.add("2")
    other = await client.get("/changes?limit=5&after=0", headers={"If-None-Match": answer.headers["etag"]})
    assert other.status_code == 200


async def test_a_reader_waits_for_a_change_that_passes_its_filter(
    suite: Suite, feed: FeedWriter, client: httpx.AsyncClient
) -> None:
    loop = asyncio.get_running_loop()
    latest = (await get(client, after="latest"))["next"]  # before the changes, however slowly the next request starts
    waiting = asyncio.create_task(get(client, after=latest, wait=30, filter="source:other"))
    await asyncio.sleep(0.3)
    feed.add("1")
    head = feed.add("2", source="other")
    with connect_redis(suite.environment["BOOKWHEEL_REDIS_URL"]) as redis:
        announce_changes(redis, head)
    started = loop.time()
    assert told(await waiting) == [(2, "other:2", "added")]
    assert loop.time() - started < 5
    assert (await get(client, after="2", wait=0.3)) == {"items": [], "next": "2", "more": False}


async def test_changes_need_a_reader_s_token(client: httpx.AsyncClient) -> None:
    for path in ("/changes", "/changes/stream"):
        assert (await client.get(path, headers={"Authorization": ""})).status_code == 401

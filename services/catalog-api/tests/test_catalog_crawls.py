"""Crawls are asked for through the stream and followed through records and progress."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from bookwheel_catalog.crawls.models import SourceList
from bookwheel_contracts import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM
from bookwheel_stores.streams import StreamReader, connect_redis

MakeToken = Callable[..., str]


@pytest.fixture
def crawler(make_token: MakeToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token('catalog:read crawl:write')}"}


@pytest.fixture
def declared(redis_url: str) -> None:
    sources = {
        "demo": {"start_urls": ["http://127.0.0.1:8085/"], "requires_start_url": False},
        "schema_org": {"start_urls": [], "requires_start_url": True},
    }
    with connect_redis(redis_url) as redis:
        for name, facts in sources.items():
            whole = {"name": name, "title": name.title(), "spider": "toscrape", "schedule": None, **facts}
            redis.hset("bookwheel:sources", name, json.dumps(whole))


def requests(redis_url: str) -> list[CrawlRequest]:
    with connect_redis(redis_url) as redis:
        entries = StreamReader(redis, CRAWL_STREAM, group="scraper", consumer="test").read(10)
    return [CrawlRequest.model_validate_json(entry.body) for entry in entries]


async def test_a_crawl_is_asked_for_and_can_be_followed(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str
) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    answer = await client.post("/crawls", json={"source": "demo"}, headers={**crawler, "traceparent": traceparent})
    run = answer.json()
    assert (answer.status_code, run["state"], run["source"]) == (202, "queued", "demo")
    assert answer.headers["location"] == f"/api/v1/crawls/{run['id']}"
    (request,) = requests(redis_url)
    assert (request.run_id, request.requested_by, request.start_url) == (run["id"], "user:1", None)
    assert request.traceparent.split("-")[1] == "a" * 32
    with connect_redis(redis_url) as redis:
        redis.hset(f"bookwheel:run:{run['id']}", mapping={"pages": 21, "published": 400, "errors": 1, "attempt": 1})
    followed = (await client.get(f"/crawls/{run['id']}")).json()
    assert (followed["pages"], followed["counts"]["scraped"], followed["errors"]) == (21, 400, 1)
    assert [each["id"] for each in (await client.get("/crawls?source=demo")).json()["items"]] == [run["id"]]
    assert (await client.get("/crawls?source=other")).json()["items"] == []


async def test_a_start_page_may_be_given_and_for_some_sources_must_be(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str
) -> None:
    refused = await client.post("/crawls", json={"source": "schema_org"}, headers=crawler)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (400, "start_url")
    order = {"source": "schema_org", "start_url": "https://shop.example/books?page=1"}
    assert (await client.post("/crawls", json=order, headers=crawler)).status_code == 202
    assert [request.start_url for request in requests(redis_url)] == [order["start_url"]]


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"source": ""},
        {"source": "nowhere"},
        {"source": "demo", "start_url": "file:///etc/passwd"},
        {"source": "demo", "start_url": "ftp://shop.example/"},
        {"source": "demo", "start_url": "no url"},
        {"source": "demo", "start_url": f"http://shop.example/{'x' * 2100}"},
        {"source": "demo", "more": 1},
        [],
        "demo",
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str, order: object
) -> None:
    answer = await client.post("/crawls", json=order, headers=crawler)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_parameter")
    assert requests(redis_url) == []


async def test_readers_may_not_crawl(declared: None, client: httpx.AsyncClient, redis_url: str) -> None:
    assert (await client.post("/crawls", json={"source": "demo"})).status_code == 403
    assert requests(redis_url) == []


async def test_sources_are_listed_with_their_books(declared: None, filled: object, client: httpx.AsyncClient) -> None:
    found = (await client.get("/sources")).json()
    SourceList.model_validate(found)
    assert [(each["name"], each["books"]) for each in found["items"]] == [("demo", 5), ("schema_org", 0)]


async def test_an_unknown_crawl_is_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/crawls/none")).status_code == 404


async def test_records_that_do_not_answer_are_a_problem_that_says_when_to_come_again(
    suite: Any, client: httpx.AsyncClient
) -> None:
    with suite.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE crawl_run RENAME TO gone")
    answer = await client.get("/crawls")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"

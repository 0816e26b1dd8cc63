"""Tests of requesting crawls and reading their progress."""

import json
from typing import Any

import httpx
import pytest
from bookwheel_catalog.crawls.models import SourceList
from bookwheel_contracts import CrawlRequest
from bookwheel_contracts.redis_keys import CRAWL_STREAM
from bookwheel_stores.streams import StreamReader, connect_redis
from bookwheel_testing.internal_tokens import internal_token


@pytest.fixture
def crawler() -> dict[str, str]:
    return {"Authorization": f"Bearer {internal_token('catalog:read crawl:write')}"}


@pytest.fixture
def declared(redis_url: str) -> None:
    sources = {
        "demo": {"start_urls": ["http://127.0.0.1:8085/"], "requires_start_url": False},
        "schema_org": {"start_urls": [], "requires_start_url": True},
    }
    with connect_redis(redis_url) as redis:
        for name, facts in sources.items():
            source = {"name": name, "title": name.title(), "spider": "toscrape", "schedule": None, **facts}
            redis.hset("bookwheel:sources", name, json.dumps(source))


def requests(redis_url: str) -> list[CrawlRequest]:
    with connect_redis(redis_url) as redis:
        entries = StreamReader(redis, CRAWL_STREAM, group="scraper", consumer="test").read(10)
    return [CrawlRequest.model_validate_json(entry.body) for entry in entries]


async def test_requested_crawl_is_published_and_shows_progress(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str
) -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    response = await client.post("/crawls", json={"source": "demo"}, headers={**crawler, "traceparent": traceparent})
    run = response.json()
    assert (response.status_code, run["state"], run["source"]) == (202, "queued", "demo")
    assert response.headers["location"] == f"/api/v1/crawls/{run['id']}"
    (request,) = requests(redis_url)
    assert (request.run_id, request.requested_by, request.start_url) == (run["id"], "user:1", None)
    assert request.traceparent.split("-")[1] == "a" * 32
    with connect_redis(redis_url) as redis:
        redis.hset(f"bookwheel:run:{run['id']}", mapping={"pages": 21, "published": 400, "errors": 1, "attempt": 1})
    followed = (await client.get(f"/crawls/{run['id']}")).json()
    assert (followed["pages"], followed["counts"]["scraped"], followed["errors"]) == (21, 400, 1)
    assert [item["id"] for item in (await client.get("/crawls?source=demo")).json()["items"]] == [run["id"]]
    assert (await client.get("/crawls?source=other")).json()["items"] == []


async def test_start_url_is_optional_unless_the_source_requires_it(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str
) -> None:
    rejected = await client.post("/crawls", json={"source": "schema_org"}, headers=crawler)
    assert (rejected.status_code, rejected.json()["errors"][0]["field"]) == (400, "start_url")
    body = {"source": "schema_org", "start_url": "https://shop.example/books?page=1"}
    assert (await client.post("/crawls", json=body, headers=crawler)).status_code == 202
    assert [request.start_url for request in requests(redis_url)] == [body["start_url"]]


@pytest.mark.parametrize(
    "body",
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
async def test_invalid_crawl_request_is_rejected(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str, body: object
) -> None:
    response = await client.post("/crawls", json=body, headers=crawler)
    assert (response.status_code, response.json()["code"]) == (400, "invalid_parameter")
    assert requests(redis_url) == []


async def test_crawl_requires_the_crawl_scope(declared: None, client: httpx.AsyncClient, redis_url: str) -> None:
    assert (await client.post("/crawls", json={"source": "demo"})).status_code == 403
    assert requests(redis_url) == []


async def test_sources_are_listed_with_their_books(declared: None, filled: object, client: httpx.AsyncClient) -> None:
    sources = (await client.get("/sources")).json()
    SourceList.model_validate(sources)
    assert [(item["name"], item["books"]) for item in sources["items"]] == [("demo", 5), ("schema_org", 0)]


async def test_unknown_crawl_returns_404(client: httpx.AsyncClient) -> None:
    assert (await client.get("/crawls/none")).status_code == 404


async def test_unavailable_database_returns_503_with_retry_after(stores: Any, client: httpx.AsyncClient) -> None:
    with stores.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE crawl_run RENAME TO gone")
    response = await client.get("/crawls")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["code"] == "unavailable"

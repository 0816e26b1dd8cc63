"""Tests of requesting crawls and reading their progress."""

import json
from typing import Any

import httpx
import pytest
from bookwheel_catalog.crawls.models import SourceList
from bookwheel_contracts import (
    CrawlRequest,
    FetchedPage,
    FieldFault,
    Hold,
    HoldExamples,
    OfferExample,
    PageOutcome,
    RunFinished,
    RunState,
    parse_stream_message,
)
from bookwheel_contracts.redis_keys import CRAWL_STREAM, RAW_STREAM, run_key
from bookwheel_stores.records.runs.approvals import RunApprovals
from bookwheel_stores.records.runs.field_faults import FieldFaultWriter, PageFault
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.pages import RunPageWriter
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


async def test_a_queued_crawl_is_cancelled_at_once(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str
) -> None:
    run = (await client.post("/crawls", json={"source": "demo"}, headers=crawler)).json()
    response = await client.post(f"/crawls/{run['id']}/cancel", headers=crawler)
    assert (response.status_code, response.json()["id"]) == (202, run["id"])
    with connect_redis(redis_url) as redis:
        assert redis.hgetall(run_key(run["id"])) == {b"cancelled": b"1", b"finished": b"1"}
        [(_, fields)] = redis.xrange(RAW_STREAM)
    end = parse_stream_message(fields[b"body"])
    assert isinstance(end, RunFinished)
    assert (end.run_id, end.source, end.state, end.scraped) == (run["id"], "demo", RunState.CANCELLED, 0)
    await client.post(f"/crawls/{run['id']}/cancel", headers=crawler)
    with connect_redis(redis_url) as redis:
        assert redis.xlen(RAW_STREAM) == 1


async def test_a_running_crawl_is_left_to_its_scraper(
    declared: None, client: httpx.AsyncClient, crawler: dict[str, str], redis_url: str
) -> None:
    run = (await client.post("/crawls", json={"source": "demo"}, headers=crawler)).json()
    with connect_redis(redis_url) as redis:
        redis.hset(run_key(run["id"]), mapping={"attempt": 1, "pages": 3, "pages:book": 2, "pages:unreadable": 1})
        response = await client.post(f"/crawls/{run['id']}/cancel", headers=crawler)
        assert redis.hget(run_key(run["id"]), "cancelled") == b"1"
        assert redis.xlen(RAW_STREAM) == 0
    counts = response.json()["page_counts"]
    assert counts == {"book": 2, "list": 0, "other": 0, "unreadable": 1, "failed": 0}


async def test_only_an_unfinished_crawl_can_be_cancelled(
    stores: Any, client: httpx.AsyncClient, crawler: dict[str, str]
) -> None:
    with stores.engine.begin() as connection:
        number = RunLedger(connection).get_or_create({"run-1": "demo"}, now=1)["run-1"]
        RunApprovals(connection).update(number, state="complete")
    response = await client.post("/crawls/run-1/cancel", headers=crawler)
    assert (response.status_code, response.json()["code"]) == (409, "conflict")
    assert (await client.post("/crawls/none/cancel", headers=crawler)).status_code == 404
    assert (await client.post("/crawls/run-1/cancel")).status_code == 403


@pytest.fixture
def run_with_pages(stores: Any) -> str:
    """A run with five pages. The third one is unreadable and has a fault."""
    outcomes = ["list", "book", "unreadable", "book", "failed"]
    pages = {
        number: FetchedPage(
            url=f"http://shop.example/{number}", outcome=PageOutcome(outcome), position=f"line {number}"
        )
        for number, outcome in enumerate(outcomes, start=1)
    }
    fault = FieldFault(field="price", code="ambiguous", text="3 or 5")
    with stores.engine.begin() as connection:
        number = RunLedger(connection).get_or_create({"run-1": "shop"}, now=1)["run-1"]
        RunPageWriter(connection).add(number, pages, now=1)
        FieldFaultWriter(connection).add(number, [PageFault(fault, pages[3].url, 1_770_000_000_000)] * 3)
        RunApprovals(connection).update(number, state="complete")
    return "run-1"


async def test_pages_are_listed_by_outcome_and_in_order(run_with_pages: str, client: httpx.AsyncClient) -> None:
    first = (await client.get("/crawls/run-1/pages?limit=3")).json()
    assert [page["number"] for page in first["items"]] == [1, 2, 3]
    second = (await client.get(f"/crawls/run-1/pages?limit=3&after={first['next']}")).json()
    assert [page["number"] for page in second["items"]] == [4, 5]
    assert second["next"] is None
    unreadable = (await client.get("/crawls/run-1/pages?outcome=unreadable")).json()["items"]
    assert unreadable == [
        {
            "number": 3,
            "url": "http://shop.example/3",
            "outcome": "unreadable",
            "reason": None,
            "position": "line 3",
        }
    ]
    run = (await client.get("/crawls/run-1")).json()
    assert run["page_counts"] == {"book": 2, "list": 1, "other": 0, "unreadable": 1, "failed": 1}
    assert (run["pages"], run["faults"]) == (5, 3)
    assert (await client.get("/crawls/none/pages")).status_code == 404
    assert (await client.get("/crawls/run-1/pages?outcome=lost")).status_code == 400


async def test_field_faults_are_counted_and_listed(run_with_pages: str, client: httpx.AsyncClient) -> None:
    [report] = (await client.get("/quality")).json()["items"]
    assert report["field_faults"] == [{"field": "price", "code": "ambiguous", "faults": 3}]
    first = (await client.get("/quality/shop/faults?limit=2")).json()
    assert [(item["run_id"], item["text"], item["url"]) for item in first["items"]] == [
        ("run-1", "3 or 5", "http://shop.example/3")
    ] * 2
    second = (await client.get(f"/quality/shop/faults?limit=2&after={first['next']}")).json()
    assert (len(second["items"]), second["next"]) == (1, None)
    for query in ("field=title", "code=other", "run=run-2"):
        assert (await client.get(f"/quality/shop/faults?{query}")).json()["items"] == []
    assert len((await client.get("/quality/shop/faults?field=price&code=ambiguous&run=run-1")).json()["items"]) == 3


async def test_a_held_crawl_has_examples(stores: Any, client: httpx.AsyncClient) -> None:
    example = OfferExample(
        key="1", url="http://shop.example/1", title="A", fields=("price",), before={"price": "1 GBP"}
    )
    with stores.engine.begin() as connection:
        numbers = RunLedger(connection).get_or_create({"run-1": "shop", "run-2": "shop"}, now=1)
        hold = Hold(reasons=(), known=5, modifies=1, removes=0)
        RunApprovals(connection).hold(numbers["run-1"], hold, HoldExamples(changes=(example,)))
    body = (await client.get("/crawls/run-1/hold")).json()
    assert (body["run_id"], body["hold"]["modifies"]) == ("run-1", 1)
    assert body["examples"]["changes"][0]["before"] == {"price": "1 GBP"}
    assert (body["examples"]["adds"], body["examples"]["removes"]) == ([], [])
    assert (await client.get("/crawls/run-2/hold")).status_code == 404

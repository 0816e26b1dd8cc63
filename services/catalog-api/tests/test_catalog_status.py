"""Tests of the status of all services, also with unavailable stores."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bookwheel_contracts.redis_keys import CRAWL_STREAM, RAW_STREAM, REPLICAS_KEY
from bookwheel_contracts.status import REPLICA_RETENTION_SECONDS, SERVICES, Heartbeat, IndexComparison, ModelRef
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.index_report import save_comparison
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.internal_tokens import internal_token
from bookwheel_testing.servers import wait_until
from redis import Redis


def send_heartbeat(redis: Redis, service: str, instance: str, *, silent: float = 0, **facts: Any) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=silent)
    defaults = {"version": "1", "started_at": moment, "seen_at": moment, "ready": True}
    beat = Heartbeat(service=service, instance=instance, **{**defaults, **facts})
    redis.hset(REPLICAS_KEY, f"{service}/{instance}", beat.model_dump_json())


@pytest.fixture
def admin() -> dict[str, str]:
    return {"Authorization": f"Bearer {internal_token('admin')}"}


async def status(client: httpx.AsyncClient, admin: dict[str, str]) -> dict[str, Any]:
    response = await client.get("/status", headers=admin)
    assert response.status_code == 200, response.text
    content: dict[str, Any] = response.json()
    return content


async def test_status_requires_the_admin_scope(client: httpx.AsyncClient) -> None:
    assert (await client.get("/status")).status_code == 403
    assert (await client.get("/status", headers={"Authorization": ""})).status_code == 401


async def test_status_lists_every_service_with_its_replicas(
    filled: object, client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        for service in SERVICES:
            send_heartbeat(redis, service, "a")
        model = ModelRef(name="rating", version="7")
        send_heartbeat(redis, "ml-serving", "a", model=model)
        send_heartbeat(redis, "ml-serving", "b", model=model)
        send_heartbeat(redis, "processor-worker", "b", ready=False, reason="no progress for 200 s")
        send_heartbeat(redis, "processor-worker", "c", silent=60)
        send_heartbeat(redis, "processor-worker", "d", silent=REPLICA_RETENTION_SECONDS + 60)
        redis.hset(REPLICAS_KEY, "scraper/broken", "no JSON")
        redis.hset(REPLICAS_KEY, "scraper/b", json.dumps({"service": "scraper", "more": 1}))
        content = await status(client, admin)
        assert set(redis.hkeys(REPLICAS_KEY)) & {b"scraper/broken", b"processor-worker/d"} == set()
    services = {service["name"]: service for service in content["services"]}
    assert list(services) == list(SERVICES)
    worker = services["processor-worker"]
    assert [replica["instance"] for replica in worker["replicas"]] == ["a", "b", "c"]
    assert worker["ready"] == 1
    assert worker["replicas"][1]["reason"] == "no progress for 200 s"
    assert 59 < worker["replicas"][2]["silent_seconds"] < 120
    assert content["models"] == [{"name": "rating", "version": "7"}]
    assert content["faults"].keys() == {"search", "lake", "lake-books"}, "no processor projects these old changes"
    assert all(fault.endswith(" s behind the records") for fault in content["faults"].values())


async def test_service_without_ready_replicas_is_a_fault(
    client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        send_heartbeat(redis, "scraper", "a", ready=False, reason="Redis does not response")
        send_heartbeat(redis, "trainer", "a", silent=100)
    content = await status(client, admin)
    assert content["status"] == "degraded"
    assert content["faults"]["scraper"] == "no replica is ready: Redis does not response"
    assert content["faults"]["trainer"] == "no replica has sent a recent heartbeat"
    assert content["faults"]["accounts"] == "no replica has registered"


async def test_status_has_the_lag_of_each_stream_and_projection(
    filled: Any, client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        redis.xgroup_create(RAW_STREAM, "processor", id="0", mkstream=True)
        for _ in range(5):
            redis.xadd(RAW_STREAM, {b"body": b"{}"})
        redis.xreadgroup("processor", "one", {RAW_STREAM: ">"}, count=2)
        content = await status(client, admin)
        lags = {(lag["stream"], lag["group"]): lag for lag in content["streams"]}
        assert (lags[RAW_STREAM, "processor"]["lag"], lags[RAW_STREAM, "processor"]["pending"]) == (5, 2)
        assert (lags[RAW_STREAM, "lake"]["lag"], lags[RAW_STREAM, "lake"]["pending"]) == (5, 0)
        assert 0 <= lags[RAW_STREAM, "lake"]["oldest_seconds"] < 60
        assert lags["bookwheel:exports", "processor"]["oldest_seconds"] is None
        # the lag of a group excludes deleted entries that the group has read, although XINFO counts them
        [[_, entries]] = redis.xreadgroup("processor", "one", {RAW_STREAM: ">"}, count=2)
        redis.xack(RAW_STREAM, "processor", *(entry for entry, _ in redis.xrange(RAW_STREAM, count=4)))
        redis.xdel(RAW_STREAM, entries[-1][0])
        lags = {(lag["stream"], lag["group"]): lag["lag"] for lag in (await status(client, admin))["streams"]}
        assert lags[RAW_STREAM, "processor"] == 1
        assert lags[RAW_STREAM, "lake"] == 4
    assert not {name for name in content["faults"] if name.startswith(RAW_STREAM)}
    projections = {lag["name"]: lag for lag in content["projections"]}
    assert projections["search"]["head"] > projections["search"]["cursor"] == 0
    assert projections["search"]["seconds"] > 0


async def test_status_has_the_latest_index_comparison(
    client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    assert (await status(client, admin))["index"] is None
    moment = datetime(2026, 1, 30, 12, tzinfo=UTC)
    comparison = IndexComparison(at=moment, books=9, differing=2, repaired=2, rejected=0, rebuild=False)
    with connect_redis(redis_url) as redis:
        save_comparison(redis, comparison)
        content = await status(client, admin)
        assert (content["index"]["differing"], "index" in content["faults"]) == (2, False)
        save_comparison(redis, comparison.model_copy(update={"repaired": 0, "rejected": 2}))
        content = await status(client, admin)
    assert content["faults"]["index"].startswith("permanently rejects 2 books; they are in quarantine")


async def test_old_backlog_of_a_data_stream_is_a_fault(
    client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        for service in SERVICES:
            send_heartbeat(redis, service, "a")
        ok_status = await status(client, admin)
        assert (ok_status["status"], ok_status["faults"]) == ("ok", {})
        old_millis = int((datetime.now(UTC) - timedelta(seconds=310)).timestamp() * 1000)
        for number, stream in enumerate((RAW_STREAM, CRAWL_STREAM)):
            redis.xadd(stream, {b"body": b"{}"}, id=f"{old_millis}-{number}")
        redis.xgroup_create(RAW_STREAM, "processor", id="$")
        content = await status(client, admin)
    assert content["status"] == "degraded"
    assert list(content["faults"]) == [f"{RAW_STREAM} for lake"], (
        "the processor has read the entry; crawl requests may wait"
    )
    assert content["faults"][f"{RAW_STREAM} for lake"].startswith("backlog of 1 entries, the oldest is 31")


async def test_unavailable_store_is_a_fault_and_other_parts_are_reported(
    stores: Any, make_client: Any, admin: dict[str, str]
) -> None:
    async with make_client(stores, redis_url="redis://127.0.0.1:9/0") as client:
        content = await status(client, admin)
        assert (content["services"], content["streams"], content["models"]) == (None, None, None)
        assert content["projections"] is not None
        assert "is unavailable: " in content["faults"]["redis"]
        assert content["status"] == "degraded"
    async with make_client(stores, database_url="postgresql+psycopg://nobody@127.0.0.1:9/none") as client:
        content = await status(client, admin)
        assert (content["projections"], content["items"], content["crawls"]) == (None, None, None)
        assert content["streams"] is not None
        assert "is unavailable: " in content["faults"]["records"]


def test_replica_sends_heartbeats_until_it_stops(redis_url: str) -> None:
    with connect_redis(redis_url) as redis:
        faults: list[str] = []
        publisher = HeartbeatPublisher(redis, "scraper", get_error=lambda: faults[0] if faults else None, interval=0.05)

        def latest_heartbeat() -> Heartbeat | None:
            content = redis.hgetall(REPLICAS_KEY)
            return Heartbeat.model_validate_json(next(iter(content.values()))) if content else None

        publisher.start()
        wait_until(lambda: (beat := latest_heartbeat()) is not None and beat.ready, seconds=10, what="a heartbeat")
        faults.append("the disk is full")
        wait_until(
            lambda: (beat := latest_heartbeat()) is not None and beat.reason == faults[0], seconds=10, what="the reason"
        )
        publisher.stop()
        assert not publisher.is_alive()
        assert latest_heartbeat() is None

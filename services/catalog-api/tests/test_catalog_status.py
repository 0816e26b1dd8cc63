"""What an operator is told of the whole suite, also when parts of it are away."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bookwheel_contracts.redis_keys import CRAWL_STREAM, RAW_STREAM, REPLICAS_KEY
from bookwheel_contracts.status import REPLICA_RETENTION_SECONDS, SERVICES, Heartbeat, IndexComparison, ModelRef
from bookwheel_stores.heartbeats import HeartbeatPublisher
from bookwheel_stores.index_report import save_comparison
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import wait_until
from redis import Redis

MakeToken = Callable[..., str]


def heartbeat(redis: Redis, service: str, instance: str, *, silent: float = 0, **told: Any) -> None:
    moment = datetime.now(UTC) - timedelta(seconds=silent)
    facts = {"version": "1", "started_at": moment, "seen_at": moment, "ready": True, **told}
    beat = Heartbeat(service=service, instance=instance, **facts)
    redis.hset(REPLICAS_KEY, f"{service}/{instance}", beat.model_dump_json())


@pytest.fixture
def admin(make_token: MakeToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token('admin')}"}


async def status(client: httpx.AsyncClient, admin: dict[str, str]) -> dict[str, Any]:
    answer = await client.get("/status", headers=admin)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_it_is_for_operators(client: httpx.AsyncClient, make_token: MakeToken) -> None:
    assert (await client.get("/status")).status_code == 403
    assert (await client.get("/status", headers={"Authorization": ""})).status_code == 401


async def test_every_service_is_shown_with_its_replicas(
    filled: object, client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        for service in SERVICES:
            heartbeat(redis, service, "a")
        model = ModelRef(name="rating", version="7")
        heartbeat(redis, "ml-serving", "a", model=model)
        heartbeat(redis, "ml-serving", "b", model=model)
        heartbeat(redis, "processor-worker", "b", ready=False, reason="no progress for 200 s")
        heartbeat(redis, "processor-worker", "c", silent=60)
        heartbeat(redis, "processor-worker", "d", silent=REPLICA_RETENTION_SECONDS + 60)
        redis.hset(REPLICAS_KEY, "scraper/broken", "no JSON")
        redis.hset(REPLICAS_KEY, "scraper/b", json.dumps({"service": "scraper", "more": 1}))
        found = await status(client, admin)
        assert set(redis.hkeys(REPLICAS_KEY)) & {b"scraper/broken", b"processor-worker/d"} == set()
    services = {service["name"]: service for service in found["services"]}
    assert list(services) == list(SERVICES)
    worker = services["processor-worker"]
    assert [replica["instance"] for replica in worker["replicas"]] == ["a", "b", "c"]
    assert worker["ready"] == 1
    assert worker["replicas"][1]["reason"] == "no progress for 200 s"
    assert 59 < worker["replicas"][2]["silent_seconds"] < 120
    assert found["models"] == [{"name": "rating", "version": "7"}]
    assert found["faults"].keys() == {"search", "lake", "lake-books"}, "nobody projects these changes of long ago"
    assert all(fault.endswith(" s behind the records") for fault in found["faults"].values())


async def test_a_service_that_nobody_hears_is_named(
    client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        heartbeat(redis, "scraper", "a", ready=False, reason="Redis does not answer")
        heartbeat(redis, "trainer", "a", silent=100)
    found = await status(client, admin)
    assert found["status"] == "degraded"
    assert found["faults"]["scraper"] == "no replica is ready: Redis does not answer"
    assert found["faults"]["trainer"] == "no replica has sent a recent heartbeat"
    assert found["faults"]["accounts"] == "no replica has registered"


async def test_lag_and_freshness_are_counted_from_what_is_there(
    filled: Any, client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        redis.xgroup_create(RAW_STREAM, "processor", id="0", mkstream=True)
        for _ in range(5):
            redis.xadd(RAW_STREAM, {b"body": b"{}"})
        redis.xreadgroup("processor", "one", {RAW_STREAM: ">"}, count=2)
        found = await status(client, admin)
        lags = {(lag["stream"], lag["group"]): lag for lag in found["streams"]}
        assert (lags[RAW_STREAM, "processor"]["lag"], lags[RAW_STREAM, "processor"]["pending"]) == (5, 2)
        assert (lags[RAW_STREAM, "lake"]["lag"], lags[RAW_STREAM, "lake"]["pending"]) == (5, 0)
        assert 0 <= lags[RAW_STREAM, "lake"]["oldest_seconds"] < 60
        assert lags["bookwheel:exports", "processor"]["oldest_seconds"] is None
        # entries that one group has read are gone for it, whatever XINFO thinks after they were deleted
        [[_, entries]] = redis.xreadgroup("processor", "one", {RAW_STREAM: ">"}, count=2)
        redis.xack(RAW_STREAM, "processor", *(entry for entry, _ in redis.xrange(RAW_STREAM, count=4)))
        redis.xdel(RAW_STREAM, entries[-1][0])
        lags = {(lag["stream"], lag["group"]): lag["lag"] for lag in (await status(client, admin))["streams"]}
        assert lags[RAW_STREAM, "processor"] == 1
        assert lags[RAW_STREAM, "lake"] == 4
    assert not {name for name in found["faults"] if name.startswith(RAW_STREAM)}
    behind = {lag["name"]: lag for lag in found["projections"]}
    assert behind["search"]["head"] > behind["search"]["cursor"] == 0
    assert behind["search"]["seconds"] > 0


async def test_what_the_latest_comparison_of_index_and_records_found_is_told(
    client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    assert (await status(client, admin))["index"] is None
    moment = datetime(2026, 1, 30, 12, tzinfo=UTC)
    compared = IndexComparison(at=moment, books=9, differing=2, repaired=2, rejected=0, rebuild=False)
    with connect_redis(redis_url) as redis:
        save_comparison(redis, compared)
        found = await status(client, admin)
        assert (found["index"]["differing"], "index" in found["faults"]) == (2, False)
        save_comparison(redis, compared.model_copy(update={"repaired": 0, "rejected": 2}))
        found = await status(client, admin)
    assert found["faults"]["index"].startswith("permanently rejects 2 books; they are in quarantine")


async def test_what_waits_for_too_long_is_named(
    client: httpx.AsyncClient, admin: dict[str, str], redis_url: str
) -> None:
    with connect_redis(redis_url) as redis:
        for service in SERVICES:
            heartbeat(redis, service, "a")
        well = await status(client, admin)
        assert (well["status"], well["faults"]) == ("ok", {})
        begun = int((datetime.now(UTC) - timedelta(seconds=310)).timestamp() * 1000)
        for number, stream in enumerate((RAW_STREAM, CRAWL_STREAM)):
            redis.xadd(stream, {b"body": b"{}"}, id=f"{begun}-{number}")
        redis.xgroup_create(RAW_STREAM, "processor", id="$")
        found = await status(client, admin)
    assert found["status"] == "degraded"
    assert list(found["faults"]) == [f"{RAW_STREAM} for lake"], "the processor has it; a crawl may take its time"
    assert found["faults"][f"{RAW_STREAM} for lake"].startswith("backlog of 1 entries, the oldest is 31")


async def test_what_is_away_is_named_and_the_rest_is_told(suite: Any, make_client: Any, admin: dict[str, str]) -> None:
    async with make_client(suite, redis_url="redis://127.0.0.1:9/0") as client:
        found = await status(client, admin)
        assert (found["services"], found["streams"], found["models"]) == (None, None, None)
        assert found["projections"] is not None
        assert "is unavailable: " in found["faults"]["redis"]
        assert found["status"] == "degraded"
    async with make_client(suite, database_url="postgresql+psycopg://nobody@127.0.0.1:9/none") as client:
        found = await status(client, admin)
        assert (found["projections"], found["items"], found["crawls"]) == (None, None, None)
        assert found["streams"] is not None
        assert "is unavailable: " in found["faults"]["records"]


def test_a_replica_tells_until_it_is_stopped(redis_url: str) -> None:
    with connect_redis(redis_url) as redis:
        faults: list[str] = []
        publisher = HeartbeatPublisher(redis, "scraper", get_error=lambda: faults[0] if faults else None, interval=0.05)

        def told() -> Heartbeat | None:
            found = redis.hgetall(REPLICAS_KEY)
            return Heartbeat.model_validate_json(next(iter(found.values()))) if found else None

        publisher.start()
        wait_until(lambda: (beat := told()) is not None and beat.ready, seconds=10, what="a heartbeat")
        faults.append("the disk is full")
        wait_until(lambda: (beat := told()) is not None and beat.reason == faults[0], seconds=10, what="the reason")
        publisher.stop()
        assert not publisher.is_alive()
        assert told() is None

"""Tests of the change stream of a real server: order, resuming, keepalives, limits, slow clients, shutdown."""

import asyncio
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_catalog.changes import broadcaster as broadcaster_module
from bookwheel_catalog.changes.broadcaster import ChangeBroadcaster
from bookwheel_stores.records import FeedEntry, FeedReader
from bookwheel_stores.streams import announce_changes, connect_redis
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.feed_writer import FeedWriter
from bookwheel_testing.internal_tokens import internal_token
from bookwheel_testing.servers import Server, answers, free_port, running
from bookwheel_testing.sse_client import SseClient, read_events, wait_for
from redis.asyncio import Redis as AsyncRedis

CATALOG = [sys.executable, "-c", "from bookwheel_catalog.cli import main; main()", "serve"]
_SHORT_TIMEOUTS = (
    "from bookwheel_catalog.changes import stream as s; s.KEEPALIVE_SECONDS = 0.3; s._SEND_TIMEOUT_SECONDS = 1.0"
)
CATALOG_WITH_SHORT_TIMEOUTS = [
    sys.executable,
    "-c",
    f"{_SHORT_TIMEOUTS}; from bookwheel_catalog.cli import main; main()",
    "serve",
]


class RunningCatalog:
    def __init__(self, url: str, headers: dict[str, str], server: Server) -> None:
        self.url = f"{url}/api/v1/changes/stream"
        self.headers = headers
        self.server = server

    def listener(self, query: str = "", last_id: str = "") -> SseClient:
        return SseClient(f"{self.url}{query}", self.headers, last_id=last_id)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.server.log.read_text().splitlines()]


@pytest.fixture
def serve(stores: CatalogStores, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    def serve(command: list[str] = CATALOG, **settings: str) -> Any:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        environment = {**stores.environment, "BOOKWHEEL_PORT": str(port), **settings}
        server = running(
            command,
            log=tmp_path / f"{port}.log",
            ready=lambda: answers(f"{url}/readyz"),
            environment=environment,
            seconds=90,
        )
        started = server.__enter__()
        stopping.append(server)
        return RunningCatalog(url, {"Authorization": f"Bearer {internal_token()}"}, started)

    stopping: list[Any] = []
    yield serve
    for server in stopping:
        server.__exit__(None, None, None)


@pytest.fixture
def feed(stores: CatalogStores) -> FeedWriter:
    return FeedWriter(stores.engine)


def test_listeners_receive_every_change_once_and_in_order(
    stores: CatalogStores, serve: Callable[..., RunningCatalog], feed: FeedWriter
) -> None:
    feed.add("before")
    service = serve()
    with (
        service.listener() as latest,
        service.listener("?after=0") as whole,
        service.listener("?after=0&filter=source:other&filter=kind:added") as filtered,
    ):
        # a listener without a position starts at the latest change
        wait_for(whole, 1)
        while not (latest.last_id and filtered.last_id):
            time.sleep(0.02)
        for number in range(30):
            feed.add(f"{number}-a", f"{number}-b", source="demo" if number % 3 else "other")
        head = feed.modify("demo:1-a", price=1)
        for listener in (latest, whole):
            wait_for(listener, head)
        assert whole.sequences == list(range(1, head + 1))
        assert latest.sequences == list(range(2, head + 1))
        wait_for(filtered, 57)
        assert [change["book_id"].partition(":")[0] for change in filtered.changes] == ["other"] * 20
    modified = whole.changes[-1]
    assert (modified["kind"], modified["fields"], modified["book"]["price"]["amount"]) == (
        "modified",
        ["price"],
        "0.0001",
    )


def test_announced_change_arrives_immediately(
    stores: CatalogStores, serve: Callable[..., RunningCatalog], feed: FeedWriter
) -> None:
    service = serve()
    with service.listener("?after=0") as listener, connect_redis(stores.environment["BOOKWHEEL_REDIS_URL"]) as redis:
        delays = []
        for number in range(8):
            head = feed.add(str(number))
            announced_at = time.monotonic()
            announce_changes(redis, head)
            wait_for(listener, head)
            delays.append(time.monotonic() - announced_at)
    # without announcements, the delay is up to a second, on average half a second
    assert sorted(delays)[3] < 0.3, delays


def test_listener_resumes_after_its_last_event(serve: Callable[..., RunningCatalog], feed: FeedWriter) -> None:
    feed.add(*(str(number) for number in range(40)))
    service = serve()
    with service.listener("?after=latest", last_id="25") as listener:
        wait_for(listener, 40)
    assert listener.sequences == list(range(26, 41))
    rejected = httpx.get(service.url, headers={**service.headers, "Last-Event-ID": "41"})
    assert (rejected.status_code, rejected.json()["code"]) == (400, "invalid_cursor")
    rejected = httpx.get(service.url, headers={**service.headers, "Last-Event-ID": "x"})
    assert (rejected.status_code, rejected.json()["errors"][0]["field"]) == (400, "last-event-id")


def test_stream_ends_after_its_duration_and_can_be_resumed(
    serve: Callable[..., RunningCatalog], feed: FeedWriter
) -> None:
    service = serve(BOOKWHEEL_STREAM_SECONDS="0.5")
    with service.listener("?after=0") as listener:
        for number in range(40):
            head = feed.add(str(number))
            time.sleep(0.05)
        wait_for(listener, head)
    assert listener.sequences == list(range(1, 41))
    assert listener.connections > 2
    assert set(listener.failures) == {"ended"}


def test_keepalive_has_the_current_position_as_id(serve: Callable[..., RunningCatalog], feed: FeedWriter) -> None:
    feed.add("1", "2", "3")
    service = serve(CATALOG_WITH_SHORT_TIMEOUTS)
    with httpx.stream(
        "GET", f"{service.url}?after=0&filter=kind:removed", headers=service.headers, timeout=20
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["x-accel-buffering"] == "no"
        events = read_events(response.iter_lines())
        first, keepalive = next(events), next(events)
    assert (first.id, first.data) == ("0", None)
    assert (keepalive.id, keepalive.data, keepalive.comment) == ("3", None, True)


def test_number_of_listeners_of_a_user_is_limited(serve: Callable[..., RunningCatalog]) -> None:
    service = serve(BOOKWHEEL_STREAM_LISTENERS_SUBJECT="2")

    def rejection() -> httpx.Response | None:
        with httpx.stream("GET", service.url, headers=service.headers, timeout=20) as response:
            if response.status_code == 200:
                return None
            response.read()
            return response

    with service.listener() as first, service.listener() as second:
        while not (first.last_id and second.last_id):
            time.sleep(0.02)
        response = rejection()
        assert response is not None
        assert (response.status_code, response.json()["code"]) == (429, "rate_limited")
        assert int(response.headers["retry-after"]) > 0
    deadline = time.monotonic() + 20
    while rejection() is not None:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_client_that_does_not_read_is_disconnected(serve: Callable[..., RunningCatalog], feed: FeedWriter) -> None:
    service = serve(CATALOG_WITH_SHORT_TIMEOUTS)
    host, port = service.url.split("/")[2].split(":")
    token = service.headers["Authorization"]
    request = f"GET /api/v1/changes/stream?after=0 HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\n\r\n"
    with service.listener("?after=0") as listener, socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect((host, int(port)))
        stuck.sendall(request.encode())
        for number in range(60):
            head = feed.add(*(f"{number}-{more}" for more in range(10)), description="x" * 20_000)
        wait_for(listener, head)
        assert listener.sequences == list(range(1, head + 1))
        deadline = time.monotonic() + 20
        while not any(line["event"] == "sse client timed out" for line in service.log()):
            assert time.monotonic() < deadline
            time.sleep(0.1)


class CountingFeed(FeedReader):
    reads = 0

    def read(self, *, after: int, limit: int) -> list[FeedEntry]:
        self.reads += 1
        return super().read(after=after, limit=limit)


async def test_listeners_share_one_reader_of_the_feed(stores: CatalogStores, feed: FeedWriter) -> None:
    counting = CountingFeed(stores.engine)
    redis = AsyncRedis.from_url(stores.environment["BOOKWHEEL_REDIS_URL"])
    broadcaster = ChangeBroadcaster(counting, redis, max_listeners=200, max_subject_listeners=200)

    async def listen() -> list[int]:
        sequences: list[int] = []
        async with broadcaster.register_listener("user:1"):
            while len(sequences) < 5:
                sequences += [
                    entry.sequence
                    for entry in await broadcaster.wait_for_entries(
                        after=sequences[-1] if sequences else 0, max_seconds=20
                    )
                ]
        return sequences

    tasks = [asyncio.create_task(listen()) for _ in range(100)]
    started = time.monotonic()
    await asyncio.sleep(0.2)
    for number in range(5):
        await asyncio.to_thread(feed.add, str(number))
        await asyncio.sleep(0.3)
    assert await asyncio.gather(*tasks) == [[1, 2, 3, 4, 5]] * 100
    await redis.aclose()
    # one read per second and one per announcement, independent of the number of listeners
    assert 0 < counting.reads <= 2 * (time.monotonic() - started) + 2


async def test_listener_behind_the_buffer_reads_from_the_database(
    stores: CatalogStores, feed: FeedWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broadcaster_module, "_MAX_BUFFERED_ENTRIES", 3)
    monkeypatch.setattr(broadcaster_module, "PAGE_SIZE", 4)
    monkeypatch.setattr(broadcaster_module, "POLL_SECONDS", 0.05)
    redis = AsyncRedis.from_url(stores.environment["BOOKWHEEL_REDIS_URL"])
    broadcaster = ChangeBroadcaster(FeedReader(stores.engine), redis, max_listeners=9, max_subject_listeners=9)
    feed.add(*(str(number) for number in range(10)))
    async with broadcaster.register_listener("quick"), broadcaster.register_listener("slow"):
        position = 10
        for number in range(20):
            head = await asyncio.to_thread(feed.add, f"new-{number}")
            entries = await broadcaster.wait_for_entries(after=position, max_seconds=20)
            assert [entry.sequence for entry in entries] == [head]
            position = head
        slow: list[int] = []
        while len(slow) < 30:
            slow += [
                entry.sequence
                for entry in await broadcaster.wait_for_entries(after=slow[-1] if slow else 0, max_seconds=20)
            ]
        assert slow == list(range(1, 31))
    await redis.aclose()


def test_server_shutdown_ends_streams(serve: Callable[..., RunningCatalog], feed: FeedWriter) -> None:
    service = serve()
    with service.listener("?after=0") as listener:
        wait_for(listener, feed.add("1"))
        started = time.monotonic()
        service.server.stop(seconds=20)
        assert time.monotonic() - started < 8
    assert listener.failures[0] == "ended"
    assert not [line for line in service.log() if line.get("level") in {"error", "critical"}]

"""No scraped item is lost or counted twice, even if Redis or the process is killed."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bookwheel_contracts import PageOutcome, RawItem, RunStarted, RunState, parse_stream_message
from bookwheel_scraper.crawl.run_events import Outcome, RunMessages
from bookwheel_scraper.publishing.item_messages import ItemMessageBuilder, Payload, ScrapedBook, build_fault, build_page
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts, RunTakenOverError
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.crawl_runner import crawl_request, read_messages
from bookwheel_testing.servers import Server, free_port, redis_answers, redis_command, start, wait_until

REQUEST = crawl_request("test")
MESSAGES = RunMessages(REQUEST, REQUEST.traceparent)
ITEM_MESSAGES = ItemMessageBuilder(run_id=REQUEST.run_id, source="test", traceparent=REQUEST.traceparent)
EAGER = PublishingLimits(batch_seconds=0.02, pause_seconds=0.02, max_pause_seconds=0.1)


def start_message() -> RunStarted:
    return MESSAGES.build_start("http://shop.example/")


def book(number: int, title: str = "x") -> ScrapedBook:
    return ScrapedBook(f"http://shop.example/{number}", {"key": f"u{number}", "title": title})


def open_attempt(redis_url: str) -> RunAttempt:
    return RunAttempt(connect_redis(redis_url, timeout=1), REQUEST.run_id)


async def publish(publisher: Publisher, numbers: range) -> None:
    for number in numbers:
        await publisher.put(book(number))


def build_item(payload: Payload) -> RawItem:
    message = parse_stream_message(ITEM_MESSAGES.build(ScrapedBook("http://shop.example/1", payload), item_number=7))
    assert isinstance(message, RawItem)
    return message


def test_the_envelope_has_all_fields_of_a_raw_item() -> None:
    payload: Payload = {"title": 'Ünïcode "quotes" \x00 詩', "authors": ["A", "B"], "price": "£1"}
    faults = (build_fault("pages", "not_a_count", "many\0\ud800"),)
    body = ITEM_MESSAGES.build(ScrapedBook("http://shop.example/1", payload, faults), item_number=7)
    item = build_item(payload)
    faulty_item = parse_stream_message(body)
    assert isinstance(faulty_item, RawItem)
    assert [(fault.field, fault.code, fault.text) for fault in faulty_item.faults] == [
        ("pages", "not_a_count", "many\ufffd\ufffd")
    ]
    assert item.faults == ()
    assert item.fingerprint == faulty_item.fingerprint
    assert set(json.loads(body)) == set(RawItem.model_fields) - {"site"}
    rival_messages = ItemMessageBuilder(
        run_id=REQUEST.run_id, source="test", traceparent=REQUEST.traceparent, site="rival.example:8080"
    )
    rival_item = parse_stream_message(
        rival_messages.build(ScrapedBook("http://rival.example:8080/1", payload), item_number=7)
    )
    assert isinstance(rival_item, RawItem)
    assert (item.site, rival_item.site) == (None, "rival.example:8080")
    assert (item.run_id, item.item_number, item.source) == (REQUEST.run_id, 7, "test")
    assert (item.url, item.payload, item.traceparent) == ("http://shop.example/1", payload, REQUEST.traceparent)
    assert abs((datetime.now(UTC) - item.scraped_at).total_seconds()) < 60


def test_the_fingerprint_is_the_digest_of_the_canonical_json() -> None:
    first = build_item({"title": "é", "authors": ["x"]})
    assert first.fingerprint == build_item({"authors": ["x"], "title": "é"}).fingerprint
    assert first.fingerprint != build_item({"title": "é", "authors": ["y"]}).fingerprint
    assert first.fingerprint == hashlib.sha256('{"authors":["x"],"title":"é"}'.encode()).hexdigest()


def test_text_that_utf8_cannot_encode_is_replaced() -> None:
    item = build_item({"title": "a\ud800b", "authors": ["\udfff", "é"]})
    assert item.payload == {"title": "a\ufffdb", "authors": ["\ufffd", "é"]}


def test_a_later_attempt_continues_the_item_numbers_and_counts(redis_url: str) -> None:
    run_attempt = open_attempt(redis_url)
    for attempt, (first, last) in enumerate(((1, 1200), (1201, 1300)), start=1):
        publisher = Publisher(run_attempt, ITEM_MESSAGES, run_attempt.start(start_message()), EAGER)
        publisher.start()
        publisher.record_page(build_page("http://shop.example/", PageOutcome.BOOK))
        asyncio.run(publish(publisher, range(first, last + 1)))
        assert publisher.close(seconds=10)
        assert run_attempt.counts() == RunCounts(
            attempt=attempt, published=last, pages=attempt, outcomes={PageOutcome.BOOK: attempt}
        )
    messages = read_messages(redis_url)
    assert [item.item_number for item in messages.items] == list(range(1, 1301))
    assert list(messages.pages) == [1, 2]


def test_an_earlier_attempt_can_no_longer_publish(redis_url: str) -> None:
    old, new = open_attempt(redis_url), open_attempt(redis_url)
    publisher = Publisher(old, ITEM_MESSAGES, old.start(start_message()), EAGER)
    publisher.start()
    asyncio.run(publish(publisher, range(1, 4)))
    wait_until(lambda: publisher.counts().published == 3, seconds=5, what="the first batch")
    assert new.start(start_message()).published == 3

    async def put_until_refused() -> None:
        while True:
            await publisher.put(book(9))
            await asyncio.sleep(0.01)

    with pytest.raises(RunTakenOverError):
        asyncio.run(put_until_refused())
    assert not publisher.close(seconds=5)
    with pytest.raises(RunTakenOverError):
        old.finish(MESSAGES.build_finish(RunCounts(published=9), Outcome(RunState.COMPLETE, None)))
    assert len(read_messages(redis_url).items) == 3
    assert read_messages(redis_url).finished == []


def test_two_racing_attempts_never_use_the_same_item_number(redis_url: str) -> None:
    """Two attempts start again and again while the other publishes."""
    first, second = open_attempt(redis_url), open_attempt(redis_url)

    def race(run_attempt: RunAttempt, name: str) -> None:
        for _ in range(30):
            before = run_attempt.start(start_message())
            for number in range(before.published + 1, before.published + 4):
                body = ITEM_MESSAGES.build(book(number, name), item_number=number)
                try:
                    run_attempt.publish([body], RunCounts(published=number))
                except RunTakenOverError:
                    break

    threads = [threading.Thread(target=race, args=pair) for pair in ((first, "one"), (second, "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    items = read_messages(redis_url).items
    contents = {(item.item_number, str(item.payload["title"])) for item in items}
    assert sorted(item.item_number for item in items) == list(range(1, len(items) + 1))
    assert len(contents) == len(items) == first.counts().published


@pytest.fixture
def durable_redis(tmp_path: Path) -> Iterator[tuple[str, list[Server]]]:
    """A Redis that stores all confirmed writes. Kill it, and restart it with `restart_redis`."""
    port = free_port()
    servers: list[Server] = []
    (tmp_path / "data").mkdir()
    yield f"redis://127.0.0.1:{port}/0", servers
    for server in servers:
        server.stop()


def restart_redis(redis_url: str, servers: list[Server], folder: Path) -> None:
    port = int(redis_url.split(":")[2].split("/", maxsplit=1)[0])
    servers.append(
        start(redis_command(port, folder / "data", append_only=True), log=folder / f"redis-{len(servers)}.log")
    )
    wait_until(lambda: redis_answers(redis_url), seconds=15, what="Redis")


def test_no_item_is_lost_when_redis_is_killed(durable_redis: tuple[str, list[Server]], tmp_path: Path) -> None:
    url, servers = durable_redis
    restart_redis(url, servers, tmp_path)
    run_attempt = open_attempt(url)
    limits = PublishingLimits(batch_items=20, batch_seconds=0.005, buffer_items=100, pause_seconds=0.02)
    publisher = Publisher(run_attempt, ITEM_MESSAGES, run_attempt.start(start_message()), limits)
    publisher.start()
    feeder = threading.Thread(target=lambda: asyncio.run(publish(publisher, range(1, 3001))))
    feeder.start()
    for count in (200, 800, 1500):
        wait_until(lambda count=count: publisher.counts().published >= count, seconds=30, what=f"{count} items")  # type: ignore[misc]
        servers[-1].kill()
        time.sleep(0.1)
        restart_redis(url, servers, tmp_path)
    feeder.join()
    assert publisher.close(seconds=30)
    items = read_messages(url).items
    by_number = {item.item_number: item.payload["key"] for item in items}
    assert by_number == {number: f"u{number}" for number in range(1, 3001)}
    # a batch whose confirmation was lost is published twice, with the same item numbers
    assert all(by_number[item.item_number] == item.payload["key"] for item in items)
    assert run_attempt.counts().published == 3000


def test_put_waits_while_the_buffer_is_full(durable_redis: tuple[str, list[Server]], tmp_path: Path) -> None:
    url, servers = durable_redis
    limits = PublishingLimits(buffer_items=10, pause_seconds=0.01)
    publisher = Publisher(open_attempt(url), ITEM_MESSAGES, RunCounts(), limits)
    publisher.start()

    async def overfill() -> int:
        accepted = 0
        try:
            async with asyncio.timeout(0.5):
                while True:
                    await publisher.put(book(accepted))
                    accepted += 1
        except TimeoutError:
            return accepted

    assert asyncio.run(overfill()) == 10
    assert not publisher.close(seconds=0.1)
    restart_redis(url, servers, tmp_path)
    assert publisher.close(seconds=10)
    assert len(read_messages(url).items) == 10


def test_batches_are_bounded_in_bytes(redis_url: str) -> None:
    run_attempt = open_attempt(redis_url)
    limits = PublishingLimits(batch_bytes=50_000, buffer_bytes=120_000, batch_seconds=0.01)
    publisher = Publisher(run_attempt, ITEM_MESSAGES, run_attempt.start(start_message()), limits)
    publisher.start()

    async def put_large() -> None:
        for number in range(30):
            await publisher.put(book(number, "x" * 60_000))

    asyncio.run(put_large())
    assert publisher.close(seconds=10)
    assert len(read_messages(redis_url).items) == 30


def test_a_finished_run_is_visible_to_other_attempts(redis_url: str) -> None:
    run_attempt = open_attempt(redis_url)
    before = run_attempt.start(start_message())
    assert not before.finished
    run_attempt.finish(MESSAGES.build_finish(before, Outcome(RunState.COMPLETE, None)))
    assert open_attempt(redis_url).counts().finished
    assert read_messages(redis_url).end.finished_at <= datetime.now(UTC)

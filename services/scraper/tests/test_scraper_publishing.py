"""Nothing that was scraped is lost or counted twice, whatever happens to Redis or to the process."""

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from bookwheel_contracts import RawItem, RunStarted, RunState, parse_stream_message
from bookwheel_scraper.crawl.run_events import Outcome, RunMessages
from bookwheel_scraper.publishing.envelopes import Envelope, Payload, ScrapedBook
from bookwheel_scraper.publishing.publisher import Publisher, PublishingLimits
from bookwheel_scraper.publishing.run_attempt import RunAttempt, RunCounts, RunTakenOverError
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.crawl_runner import crawl_request, read_messages
from bookwheel_testing.servers import Server, free_port, redis_answers, redis_command, start, wait_until

REQUEST = crawl_request("test")
MESSAGES = RunMessages(REQUEST, REQUEST.traceparent)
ENVELOPE = Envelope(run_id=REQUEST.run_id, source="test", traceparent=REQUEST.traceparent)
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


def wrap(payload: Payload) -> RawItem:
    message = parse_stream_message(ENVELOPE.wrap(ScrapedBook("http://shop.example/1", payload), item_number=7))
    assert isinstance(message, RawItem)
    return message


def test_an_envelope_is_a_raw_item_with_all_its_fields() -> None:
    payload: Payload = {"title": 'Ünïcode "quotes" \x00 詩', "authors": ["A", "B"], "price": "£1"}
    body = ENVELOPE.wrap(ScrapedBook("http://shop.example/1", payload), item_number=7)
    item = wrap(payload)
    assert set(json.loads(body)) == set(RawItem.model_fields) - {"site"}
    other_envelope = Envelope(
        run_id=REQUEST.run_id, source="test", traceparent=REQUEST.traceparent, site="rival.example:8080"
    )
    other = parse_stream_message(
        other_envelope.wrap(ScrapedBook("http://rival.example:8080/1", payload), item_number=7)
    )
    assert isinstance(other, RawItem)
    assert (item.site, other.site) == (None, "rival.example:8080")
    assert (item.run_id, item.item_number, item.source) == (REQUEST.run_id, 7, "test")
    assert (item.url, item.payload, item.traceparent) == ("http://shop.example/1", payload, REQUEST.traceparent)
    assert abs((datetime.now(UTC) - item.scraped_at).total_seconds()) < 60


def test_the_fingerprint_is_of_the_canonical_json() -> None:
    first = wrap({"title": "é", "authors": ["x"]})
    assert first.fingerprint == wrap({"authors": ["x"], "title": "é"}).fingerprint
    assert first.fingerprint != wrap({"title": "é", "authors": ["y"]}).fingerprint
    assert first.fingerprint == hashlib.sha256('{"authors":["x"],"title":"é"}'.encode()).hexdigest()


def test_text_that_utf8_cannot_hold_is_replaced() -> None:
    item = wrap({"title": "a\ud800b", "authors": ["\udfff", "é"]})
    assert item.payload == {"title": "a\ufffdb", "authors": ["\ufffd", "é"]}


def test_items_are_numbered_on_and_counted_with_their_batch(redis_url: str) -> None:
    run_attempt = open_attempt(redis_url)
    for attempt, (first, last) in enumerate(((1, 1200), (1201, 1300)), start=1):
        publisher = Publisher(run_attempt, ENVELOPE, run_attempt.start(start_message()), EAGER)
        publisher.start()
        publisher.count_page()
        asyncio.run(publish(publisher, range(first, last + 1)))
        assert publisher.close(seconds=10)
        assert run_attempt.counts() == RunCounts(attempt=attempt, published=last, pages=attempt)
    numbers = [item.item_number for item in read_messages(redis_url).items]
    assert numbers == list(range(1, 1301))


def test_an_earlier_attempt_is_shut_out(redis_url: str) -> None:
    old, new = open_attempt(redis_url), open_attempt(redis_url)
    publisher = Publisher(old, ENVELOPE, old.start(start_message()), EAGER)
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


def test_an_attempt_that_begins_in_the_middle_of_a_batch_wins(redis_url: str) -> None:
    """Two processes race for the same run many times: the numbers never collide."""
    first, second = open_attempt(redis_url), open_attempt(redis_url)
    contents: set[tuple[int, str]] = set()

    def race(run_attempt: RunAttempt, name: str) -> None:
        for _ in range(30):
            before = run_attempt.start(start_message())
            for number in range(before.published + 1, before.published + 4):
                body = ENVELOPE.wrap(book(number, name), item_number=number)
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
    """A Redis that keeps what it confirmed, to be killed and started again with `revive`."""
    port = free_port()
    servers: list[Server] = []
    (tmp_path / "data").mkdir()
    yield f"redis://127.0.0.1:{port}/0", servers
    for server in servers:
        server.stop()


def revive(redis_url: str, servers: list[Server], folder: Path) -> None:
    port = int(redis_url.split(":")[2].split("/", maxsplit=1)[0])
    servers.append(
        start(redis_command(port, folder / "data", append_only=True), log=folder / f"redis-{len(servers)}.log")
    )
    wait_until(lambda: redis_answers(redis_url), seconds=15, what="Redis")


def test_a_redis_that_is_killed_is_waited_for_and_nothing_is_lost(
    durable_redis: tuple[str, list[Server]], tmp_path: Path
) -> None:
    url, servers = durable_redis
    revive(url, servers, tmp_path)
    run_attempt = open_attempt(url)
    limits = PublishingLimits(batch_items=20, batch_seconds=0.005, buffer_items=100, pause_seconds=0.02)
    publisher = Publisher(run_attempt, ENVELOPE, run_attempt.start(start_message()), limits)
    publisher.start()
    feeder = threading.Thread(target=lambda: asyncio.run(publish(publisher, range(1, 3001))))
    feeder.start()
    for after in (200, 800, 1500):
        wait_until(lambda after=after: publisher.counts().published >= after, seconds=30, what=f"{after} items")  # type: ignore[misc]
        servers[-1].kill()
        time.sleep(0.1)
        revive(url, servers, tmp_path)
    feeder.join()
    assert publisher.close(seconds=30)
    items = read_messages(url).items
    by_number = {item.item_number: item.payload["key"] for item in items}
    assert by_number == {number: f"u{number}" for number in range(1, 3001)}
    # a batch whose confirmation was lost is there twice, number by number the same
    assert all(by_number[item.item_number] == item.payload["key"] for item in items)
    assert run_attempt.counts().published == 3000


def test_a_full_buffer_makes_the_crawl_wait_until_redis_is_back(
    durable_redis: tuple[str, list[Server]], tmp_path: Path
) -> None:
    url, servers = durable_redis
    limits = PublishingLimits(buffer_items=10, pause_seconds=0.01)
    publisher = Publisher(open_attempt(url), ENVELOPE, RunCounts(), limits)
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
    revive(url, servers, tmp_path)
    assert publisher.close(seconds=10)
    assert len(read_messages(url).items) == 10


def test_batches_are_bounded_in_bytes(redis_url: str) -> None:
    run_attempt = open_attempt(redis_url)
    limits = PublishingLimits(batch_bytes=50_000, buffer_bytes=120_000, batch_seconds=0.01)
    publisher = Publisher(run_attempt, ENVELOPE, run_attempt.start(start_message()), limits)
    publisher.start()

    async def put_large() -> None:
        for number in range(30):
            await publisher.put(book(number, "x" * 60_000))

    asyncio.run(put_large())
    assert publisher.close(seconds=10)
    assert len(read_messages(redis_url).items) == 30


def test_an_end_is_written_once_however_often_it_is_repeated_by_other_attempts(redis_url: str) -> None:
    run_attempt = open_attempt(redis_url)
    before = run_attempt.start(start_message())
    assert not before.finished
    run_attempt.finish(MESSAGES.build_finish(before, Outcome(RunState.COMPLETE, None)))
    assert open_attempt(redis_url).counts().finished
    assert read_messages(redis_url).end.finished_at <= datetime.now(UTC)

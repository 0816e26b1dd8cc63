"""Nothing in a stream is lost, and no entry takes others down with it."""

import time

import pytest
from bookwheel_stores.streams import StreamEntry, StreamReader, StreamWriter, connect_redis
from redis import Redis

STREAM = "test:stream"


@pytest.fixture
def redis(redis_url: str) -> Redis:
    return connect_redis(redis_url)


def reader_of(redis: Redis, consumer: str = "one", *, claim_after: float = 30) -> StreamReader:
    return StreamReader(redis, STREAM, group="readers", consumer=consumer, claim_after=claim_after)


def publish(redis: Redis, count: int) -> None:
    StreamWriter(redis, STREAM).publish([str(number) for number in range(count)])


def bodies(entries: list[StreamEntry]) -> list[bytes]:
    return [entry.body for entry in entries]


def test_acknowledged_entries_are_gone(redis: Redis) -> None:
    publish(redis, 3)
    reader = reader_of(redis)
    entries = reader.read(10)
    assert bodies(entries) == [b"0", b"1", b"2"]
    assert reader.backlog() == 3
    reader.acknowledge([entry.id for entry in entries])
    assert reader.backlog() == 0
    assert reader.read(10) == reader.resume(10) == reader.claim(10) == []
    reader.acknowledge([])


def test_what_was_published_before_the_first_reader_is_read(redis: Redis) -> None:
    publish(redis, 1)
    assert len(reader_of(redis).read(10)) == 1


def test_a_reader_goes_on_after_redis_was_emptied(redis: Redis) -> None:
    reader = reader_of(redis)
    assert reader.read(1) == []
    redis.flushall()
    publish(redis, 1)
    assert len(reader.read(1)) == 1
    redis.flushall()
    assert reader.resume(1) == reader.claim(1) == []


def test_a_new_life_of_a_consumer_resumes_at_once_and_counts(redis: Redis) -> None:
    publish(redis, 3)
    reader_of(redis).read(2)
    again = reader_of(redis).resume(10)
    assert bodies(again) == [b"0", b"1"]
    assert {entry.deliveries for entry in again} == {2}
    assert reader_of(redis, "other").resume(10) == []


def test_another_consumer_claims_only_what_was_left_for_long(redis: Redis) -> None:
    publish(redis, 2)
    reader_of(redis).read(2)
    assert reader_of(redis, "other", claim_after=60).claim(10) == []
    time.sleep(0.06)
    claimed = reader_of(redis, "other", claim_after=0.05).claim(10)
    assert bodies(claimed) == [b"0", b"1"]
    assert {entry.deliveries for entry in claimed} == {2}


def test_excused_entries_are_as_good_as_new(redis: Redis) -> None:
    publish(redis, 2)
    reader = reader_of(redis)
    entries = reader.read(10)
    for _ in range(9):
        reader.excuse(entries)
        entries = reader.resume(10)
        assert {entry.deliveries for entry in entries} == {1}
    assert bodies(entries) == [b"0", b"1"]


@pytest.mark.parametrize("way", ["resume", "claim"])
def test_a_poisonous_entry_is_singled_out(redis: Redis, way: str) -> None:
    publish(redis, 300)
    reader = reader_of(redis, claim_after=0.001)
    reader.read(300)
    worst: dict[bytes, int] = {}
    for _ in range(40):
        time.sleep(0.002)
        entries = getattr(reader, way)(300)
        if not entries:
            break
        worst.update({entry.body: entry.deliveries for entry in entries})
        for entry in entries:
            if entry.body == b"7" and entry.deliveries <= 5:
                break  # here the reader dies
            reader.acknowledge([entry.id])
    assert reader.backlog() == 0
    assert worst.pop(b"7") == 6
    assert max(worst.values()) <= 4

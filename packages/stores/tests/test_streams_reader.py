"""Stream readers lose no entry, and one bad entry does not affect others."""

import random
import time
from collections.abc import Sequence

import pytest
from bookwheel_stores.streams import StreamEntry, StreamReader, StreamWriter, connect_redis
from redis import Redis

STREAM = "test:stream"


@pytest.fixture
def redis(redis_url: str) -> Redis:
    return connect_redis(redis_url)


def reader_of(
    redis: Redis,
    consumer: str = "one",
    *,
    claim_after: float = 30,
    group: str = "readers",
    other_groups: Sequence[str] = (),
) -> StreamReader:
    return StreamReader(
        redis, STREAM, group=group, consumer=consumer, claim_after=claim_after, other_groups=other_groups
    )


def publish(redis: Redis, count: int) -> None:
    StreamWriter(redis, STREAM).publish([str(number) for number in range(count)])


def bodies(entries: list[StreamEntry]) -> list[bytes]:
    return [entry.body for entry in entries]


def test_acknowledged_entries_are_deleted(redis: Redis) -> None:
    publish(redis, 3)
    reader = reader_of(redis)
    entries = reader.read(10)
    assert bodies(entries) == [b"0", b"1", b"2"]
    assert reader.backlog() == 3
    reader.acknowledge([entry.id for entry in entries])
    assert reader.backlog() == 0
    assert reader.read(10) == reader.resume(10) == reader.claim(10) == []
    reader.acknowledge([])


def test_entries_published_before_the_first_reader_are_read(redis: Redis) -> None:
    publish(redis, 1)
    assert len(reader_of(redis).read(10)) == 1


def test_a_reader_continues_after_redis_was_emptied(redis: Redis) -> None:
    reader = reader_of(redis)
    assert reader.read(1) == []
    redis.flushall()
    publish(redis, 1)
    assert len(reader.read(1)) == 1
    redis.flushall()
    assert reader.resume(1) == reader.claim(1) == []


def test_a_restarted_consumer_resumes_its_entries_and_counts_the_delivery(redis: Redis) -> None:
    publish(redis, 3)
    reader_of(redis).read(2)
    resumed = reader_of(redis).resume(10)
    assert bodies(resumed) == [b"0", b"1"]
    assert {entry.deliveries for entry in resumed} == {2}
    assert reader_of(redis, "other").resume(10) == []


def test_another_consumer_claims_only_entries_idle_for_claim_after(redis: Redis) -> None:
    publish(redis, 2)
    reader_of(redis).read(2)
    assert reader_of(redis, "other", claim_after=60).claim(10) == []
    time.sleep(0.06)
    claimed = reader_of(redis, "other", claim_after=0.05).claim(10)
    assert bodies(claimed) == [b"0", b"1"]
    assert {entry.deliveries for entry in claimed} == {2}


def test_a_decremented_delivery_does_not_count(redis: Redis) -> None:
    publish(redis, 2)
    reader = reader_of(redis)
    entries = reader.read(10)
    for _ in range(9):
        reader.decrement_delivery_count(entries)
        entries = reader.resume(10)
        assert {entry.deliveries for entry in entries} == {1}
    assert bodies(entries) == [b"0", b"1"]


@pytest.mark.parametrize("method", ["resume", "claim"])
def test_a_poison_entry_is_isolated(redis: Redis, method: str) -> None:
    publish(redis, 300)
    reader = reader_of(redis, claim_after=0.001)
    reader.read(300)
    worst: dict[bytes, int] = {}
    for _ in range(40):
        time.sleep(0.002)
        entries = getattr(reader, method)(300)
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


def ids(entries: Sequence[StreamEntry]) -> list[str]:
    return [entry.id for entry in entries]


def test_an_entry_stays_until_every_group_has_acknowledged_it(redis: Redis) -> None:
    publish(redis, 6)
    first, second = reader_of(redis, group="one"), reader_of(redis, group="two")
    second.ensure_group()
    entries = first.read(6)
    first.acknowledge(ids(entries))
    assert redis.xlen(STREAM) == 6
    assert (first.backlog(), second.backlog()) == (0, 6)
    assert not first.has_backlog()
    assert second.has_backlog()
    late = second.read(4)
    second.acknowledge([late[0].id, late[1].id, late[3].id])
    assert redis.xlen(STREAM) == 4  # the third is pending, and the fourth behind it
    assert second.backlog() == 3
    assert bodies(second.resume(10)) == [b"2"]
    second.acknowledge([late[2].id])
    assert redis.xlen(STREAM) == 2
    assert bodies(second.read(10)) == [b"4", b"5"]
    second.acknowledge(ids(entries))
    assert redis.xlen(STREAM) == first.backlog() == second.backlog() == 0


def test_a_named_group_that_has_not_read_yet_loses_nothing(redis: Redis) -> None:
    publish(redis, 3)
    first = reader_of(redis, group="one", other_groups=("one", "two"))
    first.acknowledge(ids(first.read(10)))
    publish(redis, 1)
    first.acknowledge(ids(first.read(10)))
    second = reader_of(redis, group="two", other_groups=("one", "two"))
    assert second.backlog() == 4
    assert bodies(second.read(10)) == [b"0", b"1", b"2", b"0"]


def test_an_unnamed_group_does_not_block_deletion(redis: Redis) -> None:
    publish(redis, 3)
    first = reader_of(redis, group="one")
    first.acknowledge(ids(first.read(10)))
    assert redis.xlen(STREAM) == 0


def test_acknowledging_after_redis_was_emptied_succeeds(redis: Redis) -> None:
    publish(redis, 2)
    first = reader_of(redis, group="one", other_groups=("two",))
    entries = first.read(10)
    redis.flushall()
    first.acknowledge(ids(entries))
    assert not first.has_backlog()
    publish(redis, 1)
    assert first.backlog() == reader_of(redis, group="two").backlog() == 1


def test_groups_at_any_pace_read_every_entry_and_leave_none(redis: Redis) -> None:
    rng = random.Random(7)
    names = ("one", "two", "three")
    readers = {name: reader_of(redis, group=name, other_groups=names) for name in names}
    seen: dict[str, list[bytes]] = {name: [] for name in names}
    held: dict[str, list[StreamEntry]] = {name: [] for name in names}
    published = 0
    for _ in range(400):
        name = rng.choice(names)
        if rng.random() < 0.3:
            StreamWriter(redis, STREAM).publish([str(published)])
            published += 1
        held[name] += readers[name].read(rng.randint(1, 3))
        rng.shuffle(held[name])
        done = [held[name].pop() for _ in range(rng.randint(0, len(held[name])))]
        readers[name].acknowledge(ids(done))
        seen[name] += bodies(done)
    for name, reader in readers.items():
        rest = held[name] + reader.read(10_000)
        reader.acknowledge(ids(rest))
        assert sorted(seen[name] + bodies(rest), key=int) == [b"%d" % number for number in range(published)]
    assert redis.xlen(STREAM) == 0


def test_more_entries_than_one_script_call_accepts_are_acknowledged(redis: Redis) -> None:
    publish(redis, 10_000)
    first, second = reader_of(redis, group="one"), reader_of(redis, group="two")
    second.ensure_group()
    first.acknowledge(ids(first.read(10_000)))
    assert first.backlog() == 0
    second.acknowledge(ids(second.read(10_000)))
    assert redis.xlen(STREAM) == 0


def test_is_acked_up_to_is_true_only_without_unread_and_pending_entries(redis: Redis) -> None:
    publish(redis, 3)
    reader, other = (
        reader_of(redis, group="lake", other_groups=["other"]),
        reader_of(redis, group="other", other_groups=["lake"]),
    )
    last = redis.xinfo_stream(STREAM)["last-generated-id"].decode()
    assert not reader.is_acked_up_to(last), "there is no such group yet"
    entries = [entry.id for entry in reader.read(10)]
    other.acknowledge([entry.id for entry in other.read(10)])
    reader.acknowledge(entries[1:])
    assert not reader.is_acked_up_to(last), "the first one is pending"
    publish(redis, 1)
    reader.acknowledge(entries[:1])
    assert reader.is_acked_up_to(last)
    assert not reader.is_acked_up_to(redis.xinfo_stream(STREAM)["last-generated-id"].decode())

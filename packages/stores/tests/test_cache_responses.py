"""Cached answers are never stale, made once, and done without where Redis is away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from bookwheel_stores.cache import Generation, ResponseCache, connect_cache
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import free_port, redis_answers, redis_command, running
from redis.asyncio import Redis

Open = Callable[[str], ResponseCache]


class Maker:
    """Makes answers that tell how many there were before."""

    def __init__(self, *, seconds: float = 0.0, fails: bool = False) -> None:
        self.made: list[int | None] = []
        self._seconds = seconds
        self._fails = fails

    async def __call__(self, generation: int | None) -> bytes:
        self.made.append(generation)
        await asyncio.sleep(self._seconds)
        if self._fails:
            raise RuntimeError("no answer")
        return b"answer %d\n\0" % len(self.made)


@pytest.fixture
async def open_cache() -> AsyncIterator[Open]:
    opened: list[ResponseCache] = []

    def open_one(url: str) -> ResponseCache:
        opened.append(ResponseCache(connect_cache(url)))
        return opened[-1]

    yield open_one
    for cache in opened:
        await cache.close()


def advance(url: str) -> int:
    with connect_redis(url) as redis:
        return Generation(redis).advance()


async def test_an_answer_is_made_once_a_generation(redis_url: str, open_cache: Open) -> None:
    cache, make = open_cache(redis_url), Maker()
    first = advance(redis_url)
    assert await cache.get_or_compute("key", make) == (b"answer 1\n\0", first)
    assert await cache.get_or_compute("key", make) == (b"answer 1\n\0", first)
    assert (await cache.get_or_compute("other", make))[0] == b"answer 2\n\0"
    second = advance(redis_url)
    assert second > first
    assert await cache.get_or_compute("key", make) == (b"answer 3\n\0", second)
    assert make.made == [first, first, second]


async def test_other_processes_find_what_was_asked_for_twice(redis_url: str, open_cache: Open) -> None:
    generation = advance(redis_url)
    make = Maker()
    for _ in range(2):
        first = ResponseCache(Redis.from_url(redis_url))
        await first.get_or_compute("key", make)
        await first.close()
    assert len(make.made) == 2
    for _ in range(2):
        assert await open_cache(redis_url).get_or_compute("key", make) == (b"answer 2\n\0", generation)
    assert len(make.made) == 2


async def test_what_is_asked_for_once_takes_no_room_in_redis(redis_url: str, open_cache: Open) -> None:
    advance(redis_url)

    async def make(_generation: int | None) -> bytes:
        return b"x" * 30_000

    cache = ResponseCache(Redis.from_url(redis_url))
    assert await cache.get_or_compute("once", make) == await cache.get_or_compute("once", make)
    await cache.close()
    with connect_redis(redis_url) as redis:
        keys = [*redis.scan_iter("{bookwheel:generation}:once*")]
        assert [(redis.get(key), redis.ttl(key) > 0) for key in keys] == [(b"met", True)]
    assert (await open_cache(redis_url).get_or_compute("once", make))[0] == b"x" * 30_000


async def test_an_answer_of_an_older_generation_is_not_remembered(redis_url: str, open_cache: Open) -> None:
    one, other, make = open_cache(redis_url), open_cache(redis_url), Maker()
    advance(redis_url)
    assert (await one.get_or_compute("key", make))[0] == b"answer 1\n\0"
    second = advance(redis_url)
    assert await other.get_or_compute("key", make) == (b"answer 2\n\0", second)
    await asyncio.sleep(0.05)
    assert (await one.get_or_compute("key", make))[1] == second
    assert await one.get_or_compute("key", make) == await one.get_or_compute("key", make)
    assert make.made[1:] == [second] * (len(make.made) - 1)


async def test_local_responses_are_bounded_by_their_bytes(
    redis_url: str, open_cache: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookwheel_stores.cache.responses._LOCAL_CACHE_BYTES", 100)
    monkeypatch.setattr("bookwheel_stores.cache.responses._MAX_LOCAL_ENTRY_BYTES", 50)
    advance(redis_url)
    cache, made = open_cache(redis_url), list[str]()

    async def ask(key: str, size: int = 30) -> None:
        async def make(_generation: int | None) -> bytes:
            made.append(key)
            return b"x" * size

        assert await cache.get_or_compute(key, make) == (b"x" * size, await cache.generation())

    for number in range(10):
        await ask(f"key {number}")
        await ask("key 0")
    assert made == [f"key {number}" for number in range(10)], "the one that is asked for again stays"
    for number in (9, 8, 0):
        await ask(f"key {number}")
    assert len(made) == 10
    await ask("key 7")
    assert made[10:] == ["key 7"]
    await ask("big", 60)
    await ask("key 7")
    assert made[11:] == ["big"], "it evicts no other"
    await ask("big", 60)
    assert made[11:] == ["big", "big"]


async def test_concurrent_misses_make_one_answer_in_all_processes(redis_url: str, open_cache: Open) -> None:
    advance(redis_url)
    caches, make = [open_cache(redis_url) for _ in range(3)], Maker(seconds=0.1)
    answers = await asyncio.gather(*(cache.get_or_compute("key", make) for cache in caches for _ in range(20)))
    assert len(make.made) == 1
    assert {body for body, _ in answers} == {b"answer 1\n\0"}


async def test_whoever_asks_after_a_change_does_not_join_an_older_answer(redis_url: str, open_cache: Open) -> None:
    cache, make = open_cache(redis_url), Maker(seconds=0.2)
    first = advance(redis_url)
    early = asyncio.create_task(cache.get_or_compute("key", make))
    await asyncio.sleep(0.05)
    second = advance(redis_url)
    assert (await cache.get_or_compute("key", make))[1] == second
    assert (await early)[1] == first
    assert (await cache.get_or_compute("key", make))[1] == second
    assert make.made == [first, second]


async def test_a_maker_that_dies_holds_nobody_up_for_long(redis_url: str, open_cache: Open) -> None:
    generation = advance(redis_url)
    with connect_redis(redis_url) as redis:  # what a process leaves that was killed in the middle
        redis.set(f"{{bookwheel:generation}}:key:{generation}", b"", px=60_000)
    make = Maker()
    async with asyncio.timeout(5):
        assert (await open_cache(redis_url).get_or_compute("key", make))[0] == b"answer 1\n\0"


async def test_a_failure_is_for_its_own_requests_only(redis_url: str, open_cache: Open) -> None:
    advance(redis_url)
    cache, failing = open_cache(redis_url), Maker(seconds=0.05, fails=True)
    failures = await asyncio.gather(*(cache.get_or_compute("key", failing) for _ in range(5)), return_exceptions=True)
    assert len(failing.made) == 1
    assert all(isinstance(failure, RuntimeError) for failure in failures)
    async with asyncio.timeout(0.5):
        assert (await cache.get_or_compute("key", Maker()))[0] == b"answer 1\n\0"


async def test_a_request_given_up_takes_no_other_with_it(redis_url: str, open_cache: Open) -> None:
    advance(redis_url)
    cache, make = open_cache(redis_url), Maker(seconds=0.1)
    leader, follower = (asyncio.create_task(cache.get_or_compute("key", make)) for _ in range(2))
    await asyncio.sleep(0.05)
    leader.cancel()
    assert (await follower)[0] == b"answer 1\n\0"
    assert len(make.made) == 1


async def test_nothing_is_kept_before_the_first_projection(redis_url: str, open_cache: Open) -> None:
    cache, make = open_cache(redis_url), Maker()
    assert await cache.get_or_compute("key", make) == (b"answer 1\n\0", None)
    assert await cache.get_or_compute("key", make) == (b"answer 2\n\0", None)
    assert await cache.generation() == 0


async def test_without_redis_answers_are_made_and_with_it_again_kept(tmp_path: Path, open_cache: Open) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    cache, make = open_cache(url), Maker()
    assert await cache.get_or_compute("key", make) == (b"answer 1\n\0", None)
    assert await cache.generation() is None
    with running(redis_command(port, tmp_path), log=tmp_path / "log", ready=lambda: redis_answers(url)):
        generation = advance(url)
        await asyncio.sleep(1.1)
        assert await cache.get_or_compute("key", make) == (b"answer 2\n\0", generation)
        assert await cache.get_or_compute("key", make) == (b"answer 2\n\0", generation)
    assert await cache.get_or_compute("key", make) == (b"answer 3\n\0", None)
    assert await cache.get_or_compute("key", make) == (b"answer 4\n\0", None)


def test_a_generation_that_redis_lost_does_not_come_again(redis_url: str) -> None:
    first = advance(redis_url)
    with connect_redis(redis_url) as redis:
        redis.flushall()
        assert Generation(redis).current() == 0
        assert Generation(redis).advance() > first

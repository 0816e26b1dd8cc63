"""Cached responses are never stale and computed once. Without Redis, each response is computed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from bookwheel_stores.cache import Generation, ResponseCache, connect_redis_with_short_timeouts
from bookwheel_stores.streams import connect_redis
from bookwheel_testing.servers import free_port, redis_answers, redis_command, running
from redis.asyncio import Redis

OpenCache = Callable[[str], ResponseCache]


class CountingCompute:
    """Computes numbered responses and records their generations."""

    def __init__(self, *, seconds: float = 0.0, fails: bool = False) -> None:
        self.generations: list[int | None] = []
        self.started = asyncio.Event()
        self._seconds = seconds
        self._fails = fails

    async def __call__(self, generation: int | None) -> bytes:
        self.generations.append(generation)
        self.started.set()
        await asyncio.sleep(self._seconds)
        if self._fails:
            raise RuntimeError("no response")
        return b"response %d\n\0" % len(self.generations)


@pytest.fixture
async def open_cache() -> AsyncIterator[OpenCache]:
    opened: list[ResponseCache] = []

    def open_cache(url: str) -> ResponseCache:
        opened.append(ResponseCache(connect_redis_with_short_timeouts(url)))
        return opened[-1]

    yield open_cache
    for cache in opened:
        await cache.close()


def advance(url: str) -> int:
    with connect_redis(url) as redis:
        return Generation(redis).advance()


async def test_a_response_is_computed_once_per_generation(redis_url: str, open_cache: OpenCache) -> None:
    cache, compute = open_cache(redis_url), CountingCompute()
    first = advance(redis_url)
    assert await cache.get_or_compute("key", compute) == (b"response 1\n\0", first)
    assert await cache.get_or_compute("key", compute) == (b"response 1\n\0", first)
    assert (await cache.get_or_compute("other", compute))[0] == b"response 2\n\0"
    second = advance(redis_url)
    assert second > first
    assert await cache.get_or_compute("key", compute) == (b"response 3\n\0", second)
    assert compute.generations == [first, first, second]


async def test_a_response_requested_twice_is_stored_for_other_processes(redis_url: str, open_cache: OpenCache) -> None:
    generation = advance(redis_url)
    compute = CountingCompute()
    for _ in range(2):
        first = ResponseCache(Redis.from_url(redis_url))
        await first.get_or_compute("key", compute)
        await first.close()
    assert len(compute.generations) == 2
    for _ in range(2):
        assert await open_cache(redis_url).get_or_compute("key", compute) == (b"response 2\n\0", generation)
    assert len(compute.generations) == 2


async def test_a_response_requested_once_is_not_stored_in_redis(redis_url: str, open_cache: OpenCache) -> None:
    advance(redis_url)

    async def compute(_generation: int | None) -> bytes:
        return b"x" * 30_000

    cache = ResponseCache(Redis.from_url(redis_url))
    assert await cache.get_or_compute("once", compute) == await cache.get_or_compute("once", compute)
    await cache.close()
    with connect_redis(redis_url) as redis:
        keys = [*redis.scan_iter("{bookwheel:generation}:once*")]
        assert [(redis.get(key), redis.ttl(key) > 0) for key in keys] == [(b"met", True)]
    assert (await open_cache(redis_url).get_or_compute("once", compute))[0] == b"x" * 30_000


async def test_a_response_of_an_older_generation_is_not_returned(redis_url: str, open_cache: OpenCache) -> None:
    cache, other_cache, compute = open_cache(redis_url), open_cache(redis_url), CountingCompute()
    advance(redis_url)
    assert (await cache.get_or_compute("key", compute))[0] == b"response 1\n\0"
    second = advance(redis_url)
    assert await other_cache.get_or_compute("key", compute) == (b"response 2\n\0", second)
    await asyncio.sleep(0.05)
    assert (await cache.get_or_compute("key", compute))[1] == second
    assert await cache.get_or_compute("key", compute) == await cache.get_or_compute("key", compute)
    assert compute.generations[1:] == [second] * (len(compute.generations) - 1)


async def test_local_responses_are_bounded_by_their_bytes(
    redis_url: str, open_cache: OpenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookwheel_stores.cache.responses._LOCAL_CACHE_BYTES", 100)
    monkeypatch.setattr("bookwheel_stores.cache.responses._MAX_LOCAL_ENTRY_BYTES", 50)
    advance(redis_url)
    cache, computed_keys = open_cache(redis_url), list[str]()

    async def request(key: str, size: int = 30) -> None:
        async def compute(_generation: int | None) -> bytes:
            computed_keys.append(key)
            return b"x" * size

        assert await cache.get_or_compute(key, compute) == (b"x" * size, await cache.generation())

    for number in range(10):
        await request(f"key {number}")
        await request("key 0")
    assert computed_keys == [f"key {number}" for number in range(10)], "the repeated key stays"
    for number in (9, 8, 0):
        await request(f"key {number}")
    assert len(computed_keys) == 10
    await request("key 7")
    assert computed_keys[10:] == ["key 7"]
    await request("big", 60)
    await request("key 7")
    assert computed_keys[11:] == ["big"], "a large response evicts no other"
    await request("big", 60)
    assert computed_keys[11:] == ["big", "big"]


async def test_concurrent_misses_compute_one_response_in_all_processes(redis_url: str, open_cache: OpenCache) -> None:
    advance(redis_url)
    caches, compute = [open_cache(redis_url) for _ in range(3)], CountingCompute(seconds=0.1)
    responses = await asyncio.gather(*(cache.get_or_compute("key", compute) for cache in caches for _ in range(20)))
    assert len(compute.generations) == 1
    assert {body for body, _ in responses} == {b"response 1\n\0"}


async def test_a_request_after_a_change_does_not_wait_for_an_older_response(
    redis_url: str, open_cache: OpenCache
) -> None:
    cache, compute = open_cache(redis_url), CountingCompute(seconds=0.2)
    first = advance(redis_url)
    early = asyncio.create_task(cache.get_or_compute("key", compute))
    await compute.started.wait()
    second = advance(redis_url)
    assert (await cache.get_or_compute("key", compute))[1] == second
    assert (await early)[1] == first
    assert (await cache.get_or_compute("key", compute))[1] == second
    assert compute.generations == [first, second]


async def test_the_lock_of_a_killed_process_expires_soon(redis_url: str, open_cache: OpenCache) -> None:
    generation = advance(redis_url)
    with connect_redis(redis_url) as redis:  # the lock of a killed process
        redis.set(f"{{bookwheel:generation}}:key:{generation}", b"", px=60_000)
    compute = CountingCompute()
    async with asyncio.timeout(5):
        assert (await open_cache(redis_url).get_or_compute("key", compute))[0] == b"response 1\n\0"


async def test_a_failure_affects_only_the_waiting_requests(redis_url: str, open_cache: OpenCache) -> None:
    advance(redis_url)
    cache, failing = open_cache(redis_url), CountingCompute(seconds=0.05, fails=True)
    failures = await asyncio.gather(*(cache.get_or_compute("key", failing) for _ in range(5)), return_exceptions=True)
    assert len(failing.generations) == 1
    assert all(isinstance(failure, RuntimeError) for failure in failures)
    async with asyncio.timeout(0.5):
        assert (await cache.get_or_compute("key", CountingCompute()))[0] == b"response 1\n\0"


async def test_a_cancelled_request_does_not_cancel_others(redis_url: str, open_cache: OpenCache) -> None:
    advance(redis_url)
    cache, compute = open_cache(redis_url), CountingCompute(seconds=0.1)
    leader, follower = (asyncio.create_task(cache.get_or_compute("key", compute)) for _ in range(2))
    await asyncio.sleep(0.05)
    leader.cancel()
    assert (await follower)[0] == b"response 1\n\0"
    assert len(compute.generations) == 1


async def test_nothing_is_cached_before_the_first_projection(redis_url: str, open_cache: OpenCache) -> None:
    cache, compute = open_cache(redis_url), CountingCompute()
    assert await cache.get_or_compute("key", compute) == (b"response 1\n\0", None)
    assert await cache.get_or_compute("key", compute) == (b"response 2\n\0", None)
    assert await cache.generation() == 0


async def test_responses_are_computed_without_redis_and_cached_after_its_restart(
    tmp_path: Path, open_cache: OpenCache
) -> None:
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    cache, compute = open_cache(url), CountingCompute()
    assert await cache.get_or_compute("key", compute) == (b"response 1\n\0", None)
    assert await cache.generation() is None
    with running(redis_command(port, tmp_path), log=tmp_path / "log", ready=lambda: redis_answers(url)):
        generation = advance(url)
        await asyncio.sleep(1.1)
        assert await cache.get_or_compute("key", compute) == (b"response 2\n\0", generation)
        assert await cache.get_or_compute("key", compute) == (b"response 2\n\0", generation)
    assert await cache.get_or_compute("key", compute) == (b"response 3\n\0", None)
    assert await cache.get_or_compute("key", compute) == (b"response 4\n\0", None)


def test_a_generation_that_redis_lost_is_not_reused(redis_url: str) -> None:
    first = advance(redis_url)
    with connect_redis(redis_url) as redis:
        redis.flushall()
        assert Generation(redis).current() == 0
        assert Generation(redis).advance() > first

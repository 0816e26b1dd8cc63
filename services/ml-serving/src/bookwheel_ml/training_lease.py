"""Who is at a training run: one trainer at a time, and none for long after it died."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from uuid import uuid4

from bookwheel_contracts.redis_keys import training_lease_key
from redis import Redis
from redis.exceptions import RedisError

LEASE_SECONDS = 20


@contextmanager
def training_lease(redis: "Redis", run_id: str, *, seconds: int = LEASE_SECONDS) -> Iterator[bool]:
    """Whether this process got the run. It is kept for as long as the block lasts, and lapses `seconds` after a kill.

    Raises redis.RedisError where Redis is away at the start; later it is only noticed by whoever takes the run over.
    """
    key, holder = training_lease_key(run_id), uuid4().hex
    if not redis.set(key, holder, ex=seconds, nx=True):
        yield False
        return
    ended = threading.Event()

    def renew() -> None:
        while not ended.wait(seconds / 4):
            with suppress(RedisError):
                redis.set(key, holder, ex=seconds)

    renewing = threading.Thread(target=renew, name="training-lease", daemon=True)
    renewing.start()
    try:
        yield True
    finally:
        ended.set()
        renewing.join()
        with suppress(RedisError):
            redis.delete(key)

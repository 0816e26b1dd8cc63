"""The lease of a training run: only one trainer executes the run, and another can resume it soon after a crash."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bookwheel_contracts.redis_keys import training_lease_key
from redis import Redis
from redis.exceptions import LockError, RedisError
from redis.lock import Lock

LEASE_SECONDS = 20


class TrainingLeaseLostError(Exception):
    """The lease expired, so another trainer may execute the run."""


class TrainingLease:
    """A Redis lock that a thread renews. Renewal and release compare its token, so they never affect another lease."""

    def __init__(self, lock: Lock, seconds: int) -> None:
        self._lock = lock
        self._seconds = seconds
        self._renewed_at = time.monotonic()
        self._stopped = threading.Event()
        self._renewal_thread = threading.Thread(target=self._renew, name="training-lease", daemon=True)

    def acquire(self) -> bool:
        """Acquires the lease and starts to renew it. Raises redis.RedisError."""
        self._renewed_at = time.monotonic()
        if not self._lock.acquire(blocking=False):
            return False
        self._renewal_thread.start()
        return True

    def ensure_held(self) -> None:
        """Raises TrainingLeaseLostError if the lease expired, for example while this process was stopped."""
        if time.monotonic() - self._renewed_at >= self._seconds:
            raise TrainingLeaseLostError("The lease of the training run expired.")

    def release(self) -> None:
        self._stopped.set()
        self._renewal_thread.join()
        with suppress(LockError, RedisError):  # the lease expired, or it will
            self._lock.release()

    def _renew(self) -> None:
        """Renews the lease. Its age counts from before the request, so it expires here no later than in Redis."""
        while not self._stopped.wait(self._seconds / 4):
            started_at = time.monotonic()
            try:
                self._lock.reacquire()
            except LockError:
                self._renewed_at = -float("inf")
                return
            except RedisError:
                continue
            self._renewed_at = started_at


@contextmanager
def training_lease(redis: "Redis", run_id: str, *, seconds: int = LEASE_SECONDS) -> Iterator[TrainingLease | None]:
    """Yields the lease of a training run, or None while another trainer holds it.

    The lease expires `seconds` after its holder stopped renewing it. Raises redis.RedisError if Redis is unavailable.
    """
    lock = redis.lock(training_lease_key(run_id), timeout=seconds, thread_local=False)
    lease = TrainingLease(lock, seconds)
    if not lease.acquire():
        yield None
        return
    try:
        yield lease
    finally:
        lease.release()

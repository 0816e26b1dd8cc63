"""What a run has published, kept in Redis beside the stream and written in the same transactions.

The hash `bookwheel:run:<run_id>` holds `attempt`, `published`, `pages`, `errors` and, after the end, `finished`. Since
a batch and the count of it are one transaction, `published` is exact whenever the scraper or Redis is killed: the next
attempt of the run numbers its items from there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bookwheel_contracts.crawls import RAW_STREAM, RunFinished, RunStarted
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError

KEPT_SECONDS = 7 * 86400
"""How long the counts of a finished run stay readable."""


def run_key(run_id: str) -> str:
    return f"bookwheel:run:{run_id}"


class RunTakenOver(Exception):
    """Another process has begun a later attempt of this run: this one must publish nothing more."""


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Counts over all attempts of the run. `published` is also the highest item number in use."""

    attempt: int = 0
    published: int = 0
    pages: int = 0
    errors: int = 0
    finished: bool = False


def _progress(found: Any) -> RunProgress:
    counts = {name.decode(): int(value) for name, value in found.items()}
    finished = bool(counts.pop("finished", 0))
    return RunProgress(**counts, finished=finished)


class RunLedger:
    """One attempt's view of its run. Every method raises redis.RedisError when Redis did not confirm; calling again
    with the same arguments is then safe.
    """

    def __init__(self, redis: Redis, run_id: str) -> None:
        self._redis = redis
        self._key = run_key(run_id)
        self._writer = StreamWriter(redis, RAW_STREAM)
        self._attempt = 0

    def progress(self) -> RunProgress:
        return _progress(self._redis.hgetall(self._key))

    def begin(self, started: RunStarted) -> RunProgress:
        """Makes this the run's current attempt, which shuts out earlier ones, and returns what those have published."""
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hincrby(self._key, "attempt", 1)
            pipe.hgetall(self._key)
            self._writer.append_to(pipe, [started.model_dump_json()])
            progress = _progress(pipe.execute()[1])
        self._attempt = progress.attempt
        return progress

    def publish(self, bodies: Sequence[bytes], progress: RunProgress) -> int:
        """Appends a batch and records the counts that are true with it. Returns the stream's length after it.

        Raises RunTakenOver where a later attempt has begun.
        """
        counts: dict[Any, Any] = {"published": progress.published, "pages": progress.pages, "errors": progress.errors}

        def write(pipe: Pipeline) -> None:
            self._writer.append_to(pipe, bodies)
            pipe.hset(self._key, mapping=counts)
            pipe.xlen(RAW_STREAM)

        return int(self._as_current_attempt(write)[-1])

    def finish(self, finished: RunFinished) -> None:
        """Appends the end of the run. Raises RunTakenOver."""
        counts: dict[Any, Any] = {
            "published": finished.scraped,
            "pages": finished.pages,
            "errors": finished.errors,
            "finished": 1,
        }

        def write(pipe: Pipeline) -> None:
            self._writer.append_to(pipe, [finished.model_dump_json()])
            pipe.hset(self._key, mapping=counts)
            pipe.expire(self._key, KEPT_SECONDS)

        self._as_current_attempt(write)

    def _as_current_attempt(self, write: Callable[[Pipeline], None]) -> list[Any]:
        """Runs `write` as one transaction that fails when a later attempt begins before its end."""
        with self._redis.pipeline(transaction=True) as pipe:
            while True:
                pipe.watch(self._key)  # type: ignore[no-untyped-call]  # untyped in redis-py
                current = pipe.hget(self._key, "attempt")
                if current is not None and int(current) != self._attempt:
                    raise RunTakenOver(f"attempt {int(current)} has replaced attempt {self._attempt}")
                pipe.multi()
                write(pipe)
                try:
                    return list(pipe.execute())
                except WatchError:
                    continue

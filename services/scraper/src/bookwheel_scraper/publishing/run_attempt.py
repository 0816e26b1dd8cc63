"""What a run has published, kept in Redis beside the stream and written in the same steps.

The hash `bookwheel:run:<run_id>` holds `attempt`, `published`, `pages`, `errors`, `requests`, `bytes`, when the run
`begun` and, after the end, `finished`. Since a batch and the count of it are one atomic step, `published` is exact
whenever the scraper or Redis is killed: the next attempt of the run numbers its items from there. What a run has spent
of its caps is recorded with it, at least once a second.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from bookwheel_contracts.crawls import RAW_STREAM, RunFinished, RunStarted, run_key
from bookwheel_stores.streams import BODY_FIELD, StreamWriter
from redis import Redis

KEPT_SECONDS = 7 * 86400
"""How long the counts of a finished run stay readable."""


_APPEND_AS_CURRENT_ATTEMPT = f"""
local attempt = redis.call('HGET', KEYS[2], 'attempt')
if attempt and attempt ~= ARGV[1] then return -tonumber(attempt) end
for position = 9, #ARGV do redis.call('XADD', KEYS[1], '*', '{BODY_FIELD.decode()}', ARGV[position]) end
redis.call('HSET', KEYS[2], 'published', ARGV[3], 'pages', ARGV[4], 'errors', ARGV[5], 'finished', ARGV[6],
    'requests', ARGV[7], 'bytes', ARGV[8])
if ARGV[6] == '1' then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return redis.call('XLEN', KEYS[1])
"""
"""One script instead of a watched transaction: one round trip a batch, and a seventh of the client's work an item."""


class RunTakenOverError(Exception):
    """Another process has begun a later attempt of this run: this one must publish nothing more."""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Counts over all attempts of the run. `published` is also the highest item number in use. `requests` and `bytes`
    are what its caps count; so are `seconds`, from the run's first start to this attempt's, known where that begins.
    """

    attempt: int = 0
    published: int = 0
    pages: int = 0
    errors: int = 0
    finished: bool = False
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0


_COUNTS = {field.name for field in fields(RunCounts)} - {"finished", "seconds"}


def _progress(found: Any) -> RunCounts:
    counts = {name.decode(): int(value) for name, value in found.items()}
    known = {name: count for name, count in counts.items() if name in _COUNTS}
    return RunCounts(**known, finished=bool(counts.get("finished", 0)))


class RunAttempt:
    """One attempt's view of its run. Every method raises redis.RedisError when Redis did not confirm; calling again
    with the same arguments is then safe.
    """

    def __init__(self, redis: Redis, run_id: str) -> None:
        self._redis = redis
        self._key = run_key(run_id)
        self._writer = StreamWriter(redis, RAW_STREAM)
        self._script: Any = redis.register_script(_APPEND_AS_CURRENT_ATTEMPT)
        self._attempt = 0
        self._latest = RunCounts()

    def progress(self) -> RunCounts:
        return _progress(self._redis.hgetall(self._key))

    def begin(self, started: RunStarted) -> RunCounts:
        """Makes this the run's current attempt, which shuts out earlier ones, and returns what those have published."""
        now = self._now()
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(self._key, "begun", now)
            pipe.hincrby(self._key, "attempt", 1)
            pipe.hgetall(self._key)
            self._writer.append_to(pipe, [started.model_dump_json()])
            found = pipe.execute()[2]
        begun = int(found[b"begun"])
        self._latest = replace(_progress(found), seconds=max(0, now - begun) / 1000)
        self._attempt = self._latest.attempt
        return self._latest

    def _now(self) -> int:
        """Milliseconds by Redis's clock: attempts may run on machines whose own differ."""
        moment: Any = self._redis.time()
        return int(moment[0]) * 1000 + int(moment[1]) // 1000

    def publish(self, bodies: Sequence[bytes], progress: RunCounts) -> int:
        """Appends a batch and records the counts that are true with it. Returns the stream's length after it.

        Raises RunTakenOver where a later attempt has begun.
        """
        return self._append(bodies, progress)

    def finish(self, finished: RunFinished) -> None:
        """Appends the end of the run. Raises RunTakenOver."""
        counts = {"published": finished.scraped, "pages": finished.pages, "errors": finished.errors}
        self._append([finished.model_dump_json()], replace(self._latest, **counts, finished=True))

    def _append(self, bodies: Sequence[str | bytes], progress: RunCounts) -> int:
        counts = (progress.published, progress.pages, progress.errors, int(progress.finished))
        spent = (progress.requests, progress.bytes)
        answer = int(
            self._script(keys=[RAW_STREAM, self._key], args=[self._attempt, KEPT_SECONDS, *counts, *spent, *bodies])
        )
        if answer < 0:
            raise RunTakenOverError(f"attempt {-answer} has replaced attempt {self._attempt}")
        self._latest = progress
        return answer

"""A run's counts in Redis, written in the same atomic step as its messages.

The hash `bookwheel:run:<run_id>` contains the counts `attempt`, `published`, `pages`, `errors`, `requests` and `bytes`,
and the number of pages by outcome: `pages:book` and so on. `begun` is the time of the run's first start. `finished` is
1 after the run's end and 0 before. `cancelled` is 1 if a client cancelled the run. A batch and its counts are written
in one atomic step. So `published` and `pages` are correct even if the scraper or Redis is killed, and the run's next
attempt continues its item and page numbers. `requests` and `bytes` are recorded at least once a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from bookwheel_contracts import PageOutcome
from bookwheel_contracts.crawls import RunFinished, RunStarted
from bookwheel_contracts.redis_keys import RAW_STREAM, page_count_name, run_key
from bookwheel_stores.streams import BODY_FIELD, StreamWriter
from redis import Redis

RETENTION_SECONDS = 7 * 86400
"""How long the counts of a finished run stay in Redis."""

# A script needs one round trip per batch; a watched transaction needs three. It returns the length of the stream. If
# another attempt is the current one, it changes nothing and returns the negative number of that attempt. Arguments:
# attempt, retention, whether the run is finished, the number of counts, names and values of the counts, the messages.
_APPEND_AS_CURRENT_ATTEMPT = f"""
local attempt = redis.call('HGET', KEYS[2], 'attempt')
if attempt and attempt ~= ARGV[1] then return -tonumber(attempt) end
local first = 5 + 2 * tonumber(ARGV[4])
for position = first, #ARGV do redis.call('XADD', KEYS[1], '*', '{BODY_FIELD.decode()}', ARGV[position]) end
redis.call('HSET', KEYS[2], 'finished', ARGV[3], unpack(ARGV, 5, first - 1))
if ARGV[3] == '1' then redis.call('EXPIRE', KEYS[2], ARGV[2]) end
return redis.call('XLEN', KEYS[1])
"""


class RunTakenOverError(Exception):
    """Another process started a later attempt of this run; this attempt can no longer publish."""


@dataclass(frozen=True, slots=True)
class RunCounts:
    """Totals over all attempts of the run.

    `published` is also the last item number, and `pages` the last page number. `outcomes` has the number of pages by
    outcome. The run's limits apply to `requests`, `bytes` and `seconds`. `seconds` is
    the time from the run's first start to the start of this attempt; it does not include this attempt.
    """

    attempt: int = 0
    published: int = 0
    pages: int = 0
    errors: int = 0
    finished: bool = False
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.0
    cancelled: bool = False
    outcomes: Mapping[PageOutcome, int] = field(default_factory=dict)


_INTEGER_COUNTS = {column.name for column in fields(RunCounts)} - {"finished", "seconds", "cancelled", "outcomes"}


def _parse_counts(run_hash: Mapping[bytes, bytes]) -> RunCounts:
    values = {name.decode(): int(value) for name, value in run_hash.items()}
    counts = {name: value for name, value in values.items() if name in _INTEGER_COUNTS}
    outcomes = {outcome: values[name] for outcome in PageOutcome if (name := page_count_name(outcome)) in values}
    return RunCounts(
        **counts,
        finished=bool(values.get("finished", 0)),
        cancelled=bool(values.get("cancelled", 0)),
        outcomes=outcomes,
    )


class RunAttempt:
    """One attempt of a run. Methods raise redis.RedisError if Redis is unavailable; it is safe to call them again."""

    def __init__(self, redis: Redis, run_id: str) -> None:
        self._redis = redis
        self._key = run_key(run_id)
        self._writer = StreamWriter(redis, RAW_STREAM)
        self._script: Any = redis.register_script(_APPEND_AS_CURRENT_ATTEMPT)
        self._attempt = 0
        self._latest_counts = RunCounts()

    def counts(self) -> RunCounts:
        run_hash: Any = self._redis.hgetall(self._key)
        return _parse_counts(run_hash)

    def start(self, message: RunStarted) -> RunCounts:
        """Makes this the current attempt, so that earlier attempts can no longer publish.

        Returns the counts of the earlier attempts.
        """
        now = self._redis_time_ms()
        with self._redis.pipeline(transaction=True) as pipe:
            pipe.hsetnx(self._key, "begun", now)
            pipe.hincrby(self._key, "attempt", 1)
            pipe.hgetall(self._key)
            self._writer.append_to(pipe, [message.model_dump_json()])
            run_hash = pipe.execute()[2]
        first_start = int(run_hash[b"begun"])
        self._latest_counts = replace(_parse_counts(run_hash), seconds=max(0, now - first_start) / 1000)
        self._attempt = self._latest_counts.attempt
        return self._latest_counts

    def publish(self, bodies: Sequence[bytes], counts: RunCounts) -> int:
        """Appends a batch and stores the counts that include it. Returns the new length of the stream.

        Raises RunTakenOverError if a later attempt was started.
        """
        return self._append(bodies, counts)

    def finish(self, message: RunFinished) -> None:
        """Publishes the finish message of the run. Raises RunTakenOverError."""
        counts = replace(
            self._latest_counts,
            published=message.scraped,
            pages=message.pages,
            errors=message.errors,
            finished=True,
        )
        self._append([message.model_dump_json()], counts)

    def _append(self, bodies: Sequence[str | bytes], counts: RunCounts) -> int:
        totals = {name: getattr(counts, name) for name in ("published", "pages", "errors", "requests", "bytes")}
        totals |= {page_count_name(outcome): count for outcome, count in counts.outcomes.items()}
        head = (self._attempt, RETENTION_SECONDS, int(counts.finished), len(totals))
        pairs = [part for pair in totals.items() for part in pair]
        length = int(self._script(keys=[RAW_STREAM, self._key], args=[*head, *pairs, *bodies]))
        if length < 0:
            raise RunTakenOverError(f"attempt {-length} has replaced attempt {self._attempt}")
        self._latest_counts = counts
        return length

    def _redis_time_ms(self) -> int:
        """The time of Redis in milliseconds. Attempts can run on machines with different clocks."""
        seconds, microseconds = self._redis.time()
        return seconds * 1000 + microseconds // 1000

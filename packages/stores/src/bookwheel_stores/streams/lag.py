"""How much of the streams is left to do, and how old it is."""

from collections.abc import Mapping, Sequence
from typing import Any

from bookwheel_contracts.status import STREAM_GROUPS, StreamLag
from redis import Redis
from redis.exceptions import ResponseError

_COUNTED = 10_000
_COUNT_AFTER = "return #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])"
_Id = tuple[int, int]


def stream_lags(redis: Redis, groups: Mapping[str, Sequence[str]] = STREAM_GROUPS) -> list[StreamLag]:
    """Of each stream for each of its groups, whether they exist already or not. Raises RedisError."""
    seconds, micros = redis.time()
    now = int(seconds) * 1000 + int(micros) // 1000
    return [lag for stream, names in groups.items() for lag in _of_stream(redis, stream, names, now)]


def _of_stream(redis: Redis, stream: str, names: Sequence[str], now: int) -> list[StreamLag]:
    length, first, last, known = _facts(redis, stream)
    found = []
    for name in names:
        group = known.get(name, {"pending": 0, "last-delivered-id": b"0-0", "lag": None})
        delivered = _id(group["last-delivered-id"])
        pending = int(group["pending"])
        if length == 0 or delivered >= last:
            unread, oldest = 0, None
        elif delivered < first:
            unread, oldest = length, first
        else:
            unread, oldest = _unread(redis, stream, group["last-delivered-id"], length, group["lag"])
        if pending:
            waiting: Any = redis.xpending(stream, name)
            least = waiting["min"] and _id(waiting["min"])
            oldest = min(filter(None, (oldest, least)), default=None)
        age = None if oldest is None else max(0.0, (now - oldest[0]) / 1000)
        found.append(StreamLag(stream=stream, group=name, lag=pending + unread, pending=pending, oldest_seconds=age))
    return found


def _facts(redis: Redis, stream: str) -> tuple[int, _Id, _Id, dict[str, Any]]:
    """Length, first and last id, and the groups by name, all of one moment."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.xlen(stream)
        pipe.xrange(stream, count=1)
        pipe.xrevrange(stream, count=1)
        pipe.xinfo_groups(stream)
        length, first, last, groups = pipe.execute(raise_on_error=False)  # no groups where there is no stream yet
    known = {} if isinstance(groups, ResponseError) else {group["name"].decode(): group for group in groups}
    return length, _id(first[0][0]) if first else (0, 0), _id(last[0][0]) if last else (0, 0), known


def _unread(redis: Redis, stream: str, delivered: bytes, length: int, lag: int | None) -> tuple[int, _Id | None]:
    """Counted up to some thousands: before Redis 7.4 the lag that it tells is null or wrong after a trim."""
    after: Any = redis.xrange(stream, min=f"({delivered.decode()}", count=1)
    counted = int(redis.eval(_COUNT_AFTER, 1, stream, delivered, _COUNTED))
    many = length if lag is None else min(lag, length)
    return (counted if counted < _COUNTED else max(many, counted)), (_id(after[0][0]) if after else None)


def _id(text: bytes | str) -> _Id:
    milliseconds, _, number = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(milliseconds), int(number or 0)

"""Measure the number and the age of the entries that a consumer group has not acknowledged."""

from collections.abc import Mapping, Sequence
from typing import Any

from bookwheel_contracts.status import STREAM_GROUPS, StreamLag
from redis import Redis
from redis.exceptions import ResponseError

_MAX_COUNTED = 10_000
_COUNT_AFTER = "return #redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])"
_Id = tuple[int, int]


def list_stream_lags(redis: Redis, groups: Mapping[str, Sequence[str]] = STREAM_GROUPS) -> list[StreamLag]:
    """Return the lag of each group of each stream. Streams and groups may be missing. Raises redis.RedisError."""
    seconds, micros = redis.time()
    now_ms = int(seconds) * 1000 + int(micros) // 1000
    return [lag for stream, names in groups.items() for lag in _lags_of_stream(redis, stream, names, now_ms)]


def _lags_of_stream(redis: Redis, stream: str, names: Sequence[str], now_ms: int) -> list[StreamLag]:
    length, first, last, groups = _read_stream(redis, stream)
    lags = []
    for name in names:
        group = groups.get(name, {"pending": 0, "last-delivered-id": b"0-0", "lag": None})
        delivered = _parse_id(group["last-delivered-id"])
        pending = int(group["pending"])
        if length == 0 or delivered >= last:
            unread, oldest = 0, None
        elif delivered < first:
            unread, oldest = length, first
        else:
            unread, oldest = _count_unread(redis, stream, group["last-delivered-id"], length, group["lag"])
        if pending:
            summary: Any = redis.xpending(stream, name)
            oldest_pending = summary["min"] and _parse_id(summary["min"])
            oldest = min(filter(None, (oldest, oldest_pending)), default=None)
        age = None if oldest is None else max(0.0, (now_ms - oldest[0]) / 1000)
        lags.append(StreamLag(stream=stream, group=name, lag=pending + unread, pending=pending, oldest_seconds=age))
    return lags


def _read_stream(redis: Redis, stream: str) -> tuple[int, _Id, _Id, dict[str, Any]]:
    """Read length, first id, last id and the groups by name in one transaction."""
    with redis.pipeline(transaction=True) as pipe:
        pipe.xlen(stream)
        pipe.xrange(stream, count=1)
        pipe.xrevrange(stream, count=1)
        pipe.xinfo_groups(stream)
        length, first, last, infos = pipe.execute(raise_on_error=False)  # an error if the stream does not exist
    groups = {} if isinstance(infos, ResponseError) else {info["name"].decode(): info for info in infos}
    return length, _parse_id(first[0][0]) if first else (0, 0), _parse_id(last[0][0]) if last else (0, 0), groups


def _count_unread(redis: Redis, stream: str, delivered: bytes, length: int, lag: int | None) -> tuple[int, _Id | None]:
    """Count up to `_MAX_COUNTED` entries, because before Redis 7.4 the reported lag is null or wrong after a trim."""
    following: Any = redis.xrange(stream, min=f"({delivered.decode()}", count=1)
    counted = int(redis.eval(_COUNT_AFTER, 1, stream, delivered, _MAX_COUNTED))
    estimate = length if lag is None else min(lag, length)
    unread = counted if counted < _MAX_COUNTED else max(estimate, counted)
    return unread, (_parse_id(following[0][0]) if following else None)


def _parse_id(text: bytes | str) -> _Id:
    milliseconds, _, number = (text.decode() if isinstance(text, bytes) else text).partition("-")
    return int(milliseconds), int(number or 0)

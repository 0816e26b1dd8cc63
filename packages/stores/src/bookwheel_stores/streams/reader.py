"""Reads a stream as a member of a consumer group, taking over what a dead member left behind."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from bookwheel_stores.streams.writer import BODY

_CAUTION = 20
_MANY = 100_000

# Acknowledges, and drops what no group needs any more: one step, for a group that begins in between must find all.
# What every group is through with ends before each one's oldest pending entry, or with the last one handed out to it.
# The only group of a stream knows more: just the entries that it names are done, whatever is pending before them.
_ACKNOWLEDGE = """
local stream, group = KEYS[1], ARGV[1]
local beside = tonumber(ARGV[2])
local ids = {}
for at = 3 + beside, #ARGV do ids[#ids + 1] = ARGV[at] end
redis.call('XACK', stream, group, unpack(ids))
local found, others = {}, 0
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local told = {}
  for at = 1, #fields, 2 do told[fields[at]] = fields[at + 1] end
  found[told['name']] = told['last-delivered-id']
  if told['name'] ~= group then others = others + 1 end
end
for at = 3, 2 + beside do
  if not found[ARGV[at]] then
    redis.call('XGROUP', 'CREATE', stream, ARGV[at], '0')
    return 0
  end
end
if others == 0 then return redis.call('XDEL', stream, unpack(ids)) end
local function before(a, b)
  local am, as = string.match(a, '(%d+)-(%d+)')
  local bm, bs = string.match(b, '(%d+)-(%d+)')
  if #am ~= #bm then return #am < #bm end
  if am ~= bm then return am < bm end
  if #as ~= #bs then return #as < #bs end
  return as < bs
end
local keep, inclusive
for name, delivered in pairs(found) do
  local oldest = redis.call('XPENDING', stream, name)[2]
  local from, has_pending = oldest or delivered, oldest and true or false
  if not keep or before(from, keep) or (from == keep and has_pending) then keep, inclusive = from, has_pending end
end
local trimmed = redis.call('XTRIM', stream, 'MINID', '=', keep)
if not inclusive then trimmed = trimmed + redis.call('XDEL', stream, keep) end
return trimmed
"""
_ACKNOWLEDGED_AT_ONCE = 1000
"""Lua's `unpack` takes some 8,000 values."""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """`deliveries` counts how often the entry was handed out: more than once means that a reader died with it."""

    id: str
    body: bytes
    deliveries: int


class StreamReader:
    """At-least-once delivery: an entry stays pending until `acknowledge`, and is claimed from a reader that has been
    silent for `claim_after` seconds. What every group has acknowledged is dropped, so the stream's length is the work
    left. `beside` names the other groups that read this stream: nothing is dropped before each of them exists.
    """

    def __init__(
        self,
        redis: Redis,
        stream: str,
        *,
        group: str,
        consumer: str,
        claim_after: float = 30.0,
        beside: Sequence[str] = (),
    ) -> None:
        self._redis = redis
        self._acknowledge = redis.register_script(_ACKNOWLEDGE)
        self._beside = [name for name in beside if name != group]
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._claim_after_ms = int(claim_after * 1000)

    def ensure_group(self) -> None:
        """Creates stream and group, from the stream's beginning, where they do not exist."""
        try:
            self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def read(self, count: int, *, block_ms: int | None = None) -> list[StreamEntry]:
        """Up to `count` new entries; waits up to `block_ms` for the first one (None: not at all)."""
        answer = self._with_group(
            lambda: self._redis.xreadgroup(
                self._group, self._consumer, {self._stream: ">"}, count=count, block=block_ms
            )
        )
        found = answer[0][1] if answer else []
        return [StreamEntry(entry_id.decode(), fields.get(BODY, b""), 1) for entry_id, fields in found]

    def resume(self, count: int) -> list[StreamEntry]:
        """Up to `count` entries that an earlier life of this very consumer took and did not finish.

        At once, so only for one who knows that no other process reads under the same name. Careful as `claim` is.
        """
        oldest = self._pending(1)
        if not oldest:
            return []
        pending = self._pending(_careful(count, oldest))
        deliveries = {entry["message_id"]: int(entry["times_delivered"]) + 1 for entry in pending}
        found: Any = self._redis.xclaim(
            self._stream, self._group, self._consumer, min_idle_time=0, message_ids=list(deliveries)
        )
        return [StreamEntry(key.decode(), fields.get(BODY, b""), deliveries[key]) for key, fields in found]

    def claim(self, count: int) -> list[StreamEntry]:
        """Up to `count` entries that were handed out `claim_after` seconds ago or more and not acknowledged since.

        Fewer at a time, the more often the oldest of them was handed out, at last each by itself: an entry that ends
        every reader that takes it must not drag its neighbours' deliveries up with its own.
        """
        oldest = self._with_group(
            lambda: self._redis.xpending_range(
                self._stream, self._group, min="-", max="+", count=1, idle=self._claim_after_ms
            )
        )
        if not oldest:
            return []
        answer = self._redis.xautoclaim(
            self._stream, self._group, self._consumer, min_idle_time=self._claim_after_ms, count=_careful(count, oldest)
        )
        found = answer[1]
        # Entries of ours that lie between the claimed ones are listed too, so more than was claimed is asked for.
        pending = self._pending(_MANY, found[0][0], found[-1][0]) if found else []
        deliveries = {entry["message_id"]: int(entry["times_delivered"]) for entry in pending}
        return [StreamEntry(key.decode(), fields.get(BODY, b""), deliveries.get(key, 1)) for key, fields in found]

    def excuse(self, entries: Sequence[StreamEntry]) -> None:
        """Leaves entries pending, but takes this delivery from their count: what stopped it was no fault of theirs."""
        for deliveries in {entry.deliveries for entry in entries}:
            self._redis.xclaim(
                self._stream,
                self._group,
                self._consumer,
                min_idle_time=0,
                message_ids=[entry.id for entry in entries if entry.deliveries == deliveries],
                retrycount=deliveries - 1,
                justid=True,
            )

    def acknowledge(self, entry_ids: Sequence[str]) -> None:
        """Marks entries as done, and drops from the stream what every group is through with."""
        for start in range(0, len(entry_ids), _ACKNOWLEDGED_AT_ONCE):
            chunk = entry_ids[start : start + _ACKNOWLEDGED_AT_ONCE]
            arguments = [self._group, str(len(self._beside)), *self._beside, *chunk]
            self._with_group(partial(self._acknowledge, keys=[self._stream], args=arguments))

    def touch(self, entry_ids: Sequence[str]) -> None:
        """Restarts the time after which these entries may be claimed, for work that outlasts `claim_after`.

        An entry that another reader has claimed meanwhile is left to it.
        """
        for entry_id in entry_ids:
            mine = self._redis.xpending_range(
                self._stream, self._group, min=entry_id, max=entry_id, count=1, consumername=self._consumer
            )
            if mine:
                self._redis.xclaim(
                    self._stream, self._group, self._consumer, min_idle_time=0, message_ids=[entry_id], justid=True
                )

    def has_backlog(self) -> bool:
        """Whether entries are left that this group has not acknowledged."""
        return self.backlog(at_most=1) > 0

    def backlog(self, *, at_most: int = _MANY) -> int:
        """Entries that this group has not acknowledged, of those not yet handed out `at_most`.

        They are counted: the lag that `XINFO GROUPS` tells is null or wrong after a trim (before Redis 7.4).
        """
        groups: Any = self._with_group(lambda: self._redis.xinfo_groups(self._stream))
        mine = next((group for group in groups if group["name"] == self._group.encode()), None)
        if mine is None:
            return min(at_most, int(self._redis.xlen(self._stream)))
        delivered = mine["last-delivered-id"].decode()
        unread: Any = self._redis.xrange(self._stream, min=f"({delivered}", count=at_most)
        return int(mine["pending"]) + len(unread)

    def has_taken(self, up_to: str) -> bool:
        """Whether this group has acknowledged every entry up to that one."""
        groups: Any = self._with_group(lambda: self._redis.xinfo_groups(self._stream))
        delivered = next(
            (group["last-delivered-id"] for group in groups if group["name"] == self._group.encode()), b"0"
        )
        if self._redis.xrange(self._stream, min=b"(" + delivered, max=up_to, count=1):
            return False
        return delivered == b"0" or not self._redis.xpending_range(
            self._stream, self._group, min="-", max=up_to, count=1
        )

    def _pending(self, count: int, first: Any = "-", last: Any = "+") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._with_group(
            lambda: self._redis.xpending_range(
                self._stream, self._group, min=first, max=last, count=count, consumername=self._consumer
            )
        )
        return found

    def _with_group(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise  # else Redis was emptied, or this is the first reader
            self.ensure_group()
            return call()


def _careful(count: int, oldest: Sequence[dict[str, Any]]) -> int:
    doubts = max(0, int(oldest[0]["times_delivered"]) - 1)
    return max(1, int(count / _CAUTION**doubts))

"""Read a stream as a consumer of a group, and claim pending entries of other consumers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from bookwheel_stores.streams.writer import BODY_FIELD

_BATCH_DIVISOR = 20
_MAX_LISTED = 100_000

# Acknowledges entries and deletes entries that no group needs. The script is atomic, so that a group that is created
# concurrently receives every entry. A group still needs the entries from its oldest pending entry, or after its last
# delivered entry if none is pending. With a single group, all acknowledged entries can be deleted.
_ACKNOWLEDGE = """
local stream, group = KEYS[1], ARGV[1]
local other_count = tonumber(ARGV[2])
local ids = {}
for index = 3 + other_count, #ARGV do ids[#ids + 1] = ARGV[index] end
redis.call('XACK', stream, group, unpack(ids))
local delivered_by_group, others = {}, 0
for _, fields in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local info = {}
  for index = 1, #fields, 2 do info[fields[index]] = fields[index + 1] end
  delivered_by_group[info['name']] = info['last-delivered-id']
  if info['name'] ~= group then others = others + 1 end
end
for index = 3, 2 + other_count do
  if not delivered_by_group[ARGV[index]] then
    redis.call('XGROUP', 'CREATE', stream, ARGV[index], '0')
    return 0
  end
end
if others == 0 then return redis.call('XDEL', stream, unpack(ids)) end
local function before(a, b)
  local a_ms, a_seq = string.match(a, '(%d+)-(%d+)')
  local b_ms, b_seq = string.match(b, '(%d+)-(%d+)')
  if #a_ms ~= #b_ms then return #a_ms < #b_ms end
  if a_ms ~= b_ms then return a_ms < b_ms end
  if #a_seq ~= #b_seq then return #a_seq < #b_seq end
  return a_seq < b_seq
end
local min_id, inclusive
for name, delivered in pairs(delivered_by_group) do
  local oldest = redis.call('XPENDING', stream, name)[2]
  local id, has_pending = oldest or delivered, oldest and true or false
  if not min_id or before(id, min_id) or (id == min_id and has_pending) then min_id, inclusive = id, has_pending end
end
local trimmed = redis.call('XTRIM', stream, 'MINID', '=', min_id)
if not inclusive then trimmed = trimmed + redis.call('XDEL', stream, min_id) end
return trimmed
"""
_ACKNOWLEDGE_BATCH = 1000
"""`unpack` in Lua accepts about 8,000 values."""


@dataclass(frozen=True, slots=True)
class StreamEntry:
    """`deliveries` is the number of deliveries of the entry. It is above 1 after the failure of a consumer."""

    id: str
    body: bytes
    deliveries: int


class StreamReader:
    """Delivers entries at least once. An entry is pending until `acknowledge`.

    Another consumer may claim it after `claim_after` seconds. Entries that every group has acknowledged are deleted, so
    the length of the stream is the backlog. No entry is deleted before all `other_groups` of the stream exist.
    """

    def __init__(
        self,
        redis: Redis,
        stream: str,
        *,
        group: str,
        consumer: str,
        claim_after: float = 30.0,
        other_groups: Sequence[str] = (),
    ) -> None:
        self._redis = redis
        self._acknowledge = redis.register_script(_ACKNOWLEDGE)
        self._other_groups = [name for name in other_groups if name != group]
        self._stream = stream
        self._group = group
        self._consumer = consumer
        self._claim_after_ms = int(claim_after * 1000)

    def ensure_group(self) -> None:
        """Create the stream and the group if they do not exist. The group reads from the beginning of the stream."""
        try:
            self._redis.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def read(self, count: int, *, block_ms: int | None = None) -> list[StreamEntry]:
        """Return up to `count` new entries. Wait up to `block_ms` for the first entry; None does not wait."""
        response = self._with_group(
            lambda: self._redis.xreadgroup(
                self._group, self._consumer, {self._stream: ">"}, count=count, block=block_ms
            )
        )
        messages = response[0][1] if response else []
        return [StreamEntry(entry_id.decode(), fields.get(BODY_FIELD, b""), 1) for entry_id, fields in messages]

    def resume(self, count: int) -> list[StreamEntry]:
        """Return up to `count` pending entries of this consumer that an earlier process of the same name has read.

        It ignores `claim_after`, so no other process may use this consumer name. Returns fewer entries after failures,
        see `claim`.
        """
        oldest = self._list_own_pending(1)
        if not oldest:
            return []
        pending = self._list_own_pending(_reduced_batch_size(count, oldest))
        deliveries = {entry["message_id"]: int(entry["times_delivered"]) + 1 for entry in pending}
        messages: Any = self._redis.xclaim(
            self._stream, self._group, self._consumer, min_idle_time=0, message_ids=list(deliveries)
        )
        return [StreamEntry(key.decode(), fields.get(BODY_FIELD, b""), deliveries[key]) for key, fields in messages]

    def claim(self, count: int) -> list[StreamEntry]:
        """Return up to `count` entries that were delivered at least `claim_after` seconds ago and are still pending.

        Returns fewer entries after each failed delivery of the oldest entry; at last only this entry. A poison entry
        must not raise the delivery counts of other entries.
        """
        oldest = self._with_group(
            lambda: self._redis.xpending_range(
                self._stream, self._group, min="-", max="+", count=1, idle=self._claim_after_ms
            )
        )
        if not oldest:
            return []
        response = self._redis.xautoclaim(
            self._stream,
            self._group,
            self._consumer,
            min_idle_time=self._claim_after_ms,
            count=_reduced_batch_size(count, oldest),
        )
        messages = response[1]
        # Other pending entries of this consumer may be between the claimed entries, so the range has no count limit.
        pending = self._list_own_pending(_MAX_LISTED, messages[0][0], messages[-1][0]) if messages else []
        deliveries = {entry["message_id"]: int(entry["times_delivered"]) for entry in pending}
        return [
            StreamEntry(key.decode(), fields.get(BODY_FIELD, b""), deliveries.get(key, 1)) for key, fields in messages
        ]

    def decrement_delivery_count(self, entries: Sequence[StreamEntry]) -> None:
        """Exclude this delivery from the count, after a failure that the entries did not cause. They stay pending."""
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
        """Acknowledge entries, and delete entries that every group has acknowledged."""
        for start in range(0, len(entry_ids), _ACKNOWLEDGE_BATCH):
            batch = entry_ids[start : start + _ACKNOWLEDGE_BATCH]
            arguments = [self._group, str(len(self._other_groups)), *self._other_groups, *batch]
            self._with_group(partial(self._acknowledge, keys=[self._stream], args=arguments))

    def extend_claim(self, entry_ids: Sequence[str]) -> None:
        """Restart `claim_after` for these entries, for work that takes longer.

        Entries that another consumer has claimed are skipped.
        """
        for entry_id in entry_ids:
            own_pending = self._redis.xpending_range(
                self._stream, self._group, min=entry_id, max=entry_id, count=1, consumername=self._consumer
            )
            if own_pending:
                self._redis.xclaim(
                    self._stream, self._group, self._consumer, min_idle_time=0, message_ids=[entry_id], justid=True
                )

    def has_backlog(self) -> bool:
        """Whether this group has unacknowledged entries."""
        return self.backlog(at_most=1) > 0

    def backlog(self, *, at_most: int = _MAX_LISTED) -> int:
        """Count the unacknowledged entries of this group, including at most `at_most` undelivered entries.

        It reads the entries, because before Redis 7.4 the lag in `XINFO GROUPS` is null or wrong after a trim.
        """
        group = self._group_info()
        if group is None:
            return min(at_most, int(self._redis.xlen(self._stream)))
        delivered = group["last-delivered-id"].decode()
        unread: Any = self._redis.xrange(self._stream, min=f"({delivered}", count=at_most)
        return int(group["pending"]) + len(unread)

    def is_acked_up_to(self, entry_id: str) -> bool:
        """Whether this group has acknowledged every entry up to and including this id."""
        group = self._group_info()
        delivered = group["last-delivered-id"] if group else b"0"
        if self._redis.xrange(self._stream, min=b"(" + delivered, max=entry_id, count=1):
            return False
        return delivered == b"0" or not self._redis.xpending_range(
            self._stream, self._group, min="-", max=entry_id, count=1
        )

    def _group_info(self) -> dict[str, Any] | None:
        groups: Any = self._with_group(lambda: self._redis.xinfo_groups(self._stream))
        return next((group for group in groups if group["name"] == self._group.encode()), None)

    def _list_own_pending(self, count: int, first: Any = "-", last: Any = "+") -> list[dict[str, Any]]:
        pending: list[dict[str, Any]] = self._with_group(
            lambda: self._redis.xpending_range(
                self._stream, self._group, min=first, max=last, count=count, consumername=self._consumer
            )
        )
        return pending

    def _with_group(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ResponseError as error:
            if "NOGROUP" not in str(error) and "no such key" not in str(error):
                raise
            self.ensure_group()  # Redis was emptied, or the group does not exist yet
            return call()


def _reduced_batch_size(count: int, oldest: Sequence[dict[str, Any]]) -> int:
    failures = max(0, int(oldest[0]["times_delivered"]) - 1)
    return max(1, int(count / _BATCH_DIVISOR**failures))

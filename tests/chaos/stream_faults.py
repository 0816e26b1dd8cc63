"""Duplicates or reorders entries of the raw stream."""

import os
import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_testing.process_kill import WORKER, processes

from tests.chaos.chaos_suite import ChaosSuite

_COLLECT_SECONDS = (0.3, 1.5)


def double(chaos: ChaosSuite, rng: random.Random) -> None:
    with _collected_entries(chaos, rng) as entries:
        _append(chaos, [fields for _, fields in entries if rng.random() < 0.5])


def reorder(chaos: ChaosSuite, rng: random.Random, *, copies: Sequence[int] = (1,)) -> None:
    """Replaces the unread entries of the stream by a random number of copies in random order."""
    with _collected_entries(chaos, rng) as entries:
        waiting = [(entry_id, fields) for entry_id, fields in entries if not _is_delivered(chaos, entry_id)]
        shuffled = [fields for _, fields in waiting for _ in range(rng.choice(copies))]
        rng.shuffle(shuffled)
        _append(chaos, shuffled, replaced_ids=[entry_id for entry_id, _ in waiting])


@contextmanager
def _collected_entries(chaos: ChaosSuite, rng: random.Random) -> Iterator[list[tuple[bytes, Any]]]:
    """Suspends the worker and yields the entries of the stream."""
    pids = processes(chaos.suite, WORKER)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(rng.uniform(*_COLLECT_SECONDS))
        entries: Any = chaos.redis.xrange(RAW_STREAM)
        yield entries
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_delivered(chaos: ChaosSuite, entry_id: bytes) -> bool:
    """Whether a consumer group has read the entry. Such an entry must stay in the stream."""
    groups: Any = chaos.redis.xinfo_groups(RAW_STREAM)
    return any(_order(entry_id) <= _order(group["last-delivered-id"]) for group in groups)


def _order(entry_id: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in entry_id.split(b"-"))


def _append(chaos: ChaosSuite, entries: list[Any], *, replaced_ids: list[bytes] | None = None) -> None:
    with chaos.redis.pipeline(transaction=True) as pipe:
        for fields in entries:
            pipe.xadd(RAW_STREAM, fields)
        if replaced_ids:
            pipe.xdel(RAW_STREAM, *replaced_ids)
        pipe.execute()

"""Entries of the raw stream that come twice, or in another order than they were written."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_testing.process_kill import WORKER, processes

from tests.chaos.arena import Arena

_GATHER_SECONDS = (0.3, 1.5)


def double(arena: Arena, chance: random.Random) -> None:
    with _entries_gathered(arena, chance) as entries:
        _append(arena, [fields for _, fields in entries if chance.random() < 0.5])


def reorder(arena: Arena, chance: random.Random) -> None:
    with _entries_gathered(arena, chance) as entries:
        waiting = [(key, fields) for key, fields in entries if not _is_taken(arena, key)]
        shuffled = [fields for _, fields in waiting]
        chance.shuffle(shuffled)
        _append(arena, shuffled, instead_of=[key for key, _ in waiting])


def double_and_reorder(arena: Arena, chance: random.Random) -> None:
    with _entries_gathered(arena, chance) as entries:
        waiting = [(key, fields) for key, fields in entries if not _is_taken(arena, key)]
        shuffled = [fields for _, fields in waiting for _ in range(chance.choice((1, 1, 2, 3)))]
        chance.shuffle(shuffled)
        _append(arena, shuffled, instead_of=[key for key, _ in waiting])


@contextmanager
def _entries_gathered(arena: Arena, chance: random.Random) -> Iterator[list[tuple[bytes, Any]]]:
    """What the stream holds after the worker has stood still for a moment; it goes on afterwards."""
    stopped = processes(arena.suite, WORKER)
    for pid in stopped:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(chance.uniform(*_GATHER_SECONDS))
        found: Any = arena.redis.xrange(RAW_STREAM)
        yield found
    finally:
        for pid in stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _is_taken(arena: Arena, key: bytes) -> bool:
    """Whether a reader has it already: then it can't be taken out of the stream from under it."""
    groups: Any = arena.redis.xinfo_groups(RAW_STREAM)
    return any(_order(key) <= _order(group["last-delivered-id"]) for group in groups)


def _order(key: bytes) -> tuple[int, ...]:
    return tuple(int(part) for part in key.split(b"-"))


def _append(arena: Arena, entries: list[Any], *, instead_of: list[bytes] | None = None) -> None:
    with arena.redis.pipeline(transaction=True) as pipe:
        for fields in entries:
            pipe.xadd(RAW_STREAM, fields)
        if instead_of:
            pipe.xdel(RAW_STREAM, *instead_of)
        pipe.execute()

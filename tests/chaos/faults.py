"""What can go wrong in a round: each fault strikes while a crawl is under way, and is over when `strike` returns."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bookwheel_testing.process_kill import CRAWL, INDEX_WRITER, WORKER, kill

from tests.chaos import redis_faults, streams
from tests.chaos.arena import Arena
from tests.chaos.s3_proxy import Mode
from tests.chaos.servers import stall, terminate

_LATEST, _LATEST_AT = 1.2, {CRAWL: 0.6, INDEX_WRITER: 0.0}
Strike = Callable[[Arena, random.Random], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """`loses_redis`: what Redis held is gone, so the run may end short, and the crawl is repeated. `own_shop`: the shop
    of this round is not crawled again, as its items carry times that are not of this day. `slow_shop`: the shop takes
    its time, for the crawl, or what works only while items come, must still be there. `latest`: in seconds, how long
    after the crawl's start it may strike; most crawls take one to two.
    """

    name: str
    strike: Strike
    slow_shop: bool = False
    latest: float = _LATEST
    loses_redis: bool = False
    own_shop: bool = False


def killing(part: str) -> Fault:
    is_passing = part in _LATEST_AT
    return Fault(f"kill {part}", partial(_kill, part), slow_shop=is_passing, latest=_LATEST_AT.get(part, _LATEST))


def _kill(part: str, arena: Arena, chance: random.Random) -> None:
    kill(arena.suite, part, chance)


def _full_disk(arena: Arena, chance: random.Random) -> None:
    arena.disk.fill()
    time.sleep(chance.uniform(0.5, 3.0))
    arena.disk.empty()


def _clock_jump(seconds: int, arena: Arena, chance: random.Random) -> None:
    arena.clock.set(seconds)
    time.sleep(chance.uniform(1.5, 3.0))
    arena.clock.set(0)


def _failing_s3(modes: tuple[Mode, ...], arena: Arena, chance: random.Random) -> None:
    assert arena.s3 is not None
    arena.s3.set(*modes)
    time.sleep(chance.uniform(2.0, 4.0))
    arena.s3.set(Mode.PASS)


def _two_kills(parts: tuple[str, ...], arena: Arena, chance: random.Random) -> None:
    for part in chance.sample(parts, 2):
        kill(arena.suite, part, chance)


_PROGRAMS = ("redis", "scraper", "processor-beat", "catalog-api", "gateway", "accounts", "ml-serving", "trainer")
_SERVERS: Mapping[str, tuple[str, ...]] = {"embedded": (), "cluster": ("postgres", "elasticsearch")}


def faults_of(arena: Arena) -> list[Fault]:
    """Those that the arena's engines and machine allow."""
    servers = _SERVERS[arena.suite.engines]
    writer = (INDEX_WRITER,) if arena.suite.engines == "embedded" else ()
    parts = (*_PROGRAMS, *servers, WORKER, *writer, CRAWL)
    found = [killing(part) for part in parts]
    found.append(
        Fault(
            "kill two at once",
            partial(_two_kills, ("redis", "scraper", WORKER, CRAWL, *servers)),
            slow_shop=True,
            latest=_LATEST_AT[CRAWL],
        )
    )
    for server in ("redis", *servers):
        found.append(Fault(f"restart {server}", partial(terminate, server)))
        found.append(Fault(f"stall {server}", partial(stall, server)))
    found += [
        Fault("broker emptied", redis_faults.empty_broker),
        Fault("entries doubled", streams.double),
        Fault("entries reordered", streams.reorder),
        Fault("entries doubled and reordered", streams.double_and_reorder),
        Fault("redis loses its tail", redis_faults.lose_tail, loses_redis=True),
        Fault("redis loses everything", redis_faults.lose_everything, loses_redis=True),
    ]
    if arena.s3 is not None:
        found += [
            Fault("S3 away", partial(_failing_s3, (Mode.REFUSE,))),
            Fault("S3 busy", partial(_failing_s3, (Mode.PASS, Mode.BUSY))),
            Fault("S3 fails half way", partial(_failing_s3, (Mode.PASS, Mode.CUT, Mode.MUTE))),
        ]
    if arena.disk.is_real:
        found.append(Fault("full disk", _full_disk))
    if arena.clock.is_real:
        found += [
            Fault("clock an hour ahead", partial(_clock_jump, 3600), own_shop=True),
            Fault("clock an hour behind", partial(_clock_jump, -3600), own_shop=True),
        ]
    return found

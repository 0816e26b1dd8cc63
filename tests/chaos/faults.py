"""The faults of a round. `inject` injects a fault during a crawl and returns when the fault has ended."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bookwheel_testing.process_kill import CRAWL, INDEX_WRITER, WORKER, kill

from tests.chaos import redis_faults, stream_faults
from tests.chaos.chaos_suite import ChaosSuite
from tests.chaos.s3_proxy import Mode
from tests.chaos.server_faults import stall, terminate

_MAX_DELAY, _MAX_DELAY_BY_ROLE = 1.2, {CRAWL: 0.6, INDEX_WRITER: 0.0}
Injection = Callable[[ChaosSuite, random.Random], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault and its conditions.

    `slow_shop`: the shop answers slowly, so that the crawl still runs when the fault is injected.
    `max_delay`: the maximum number of seconds from the crawl's start to the injection. Most crawls take 1 s to 2 s.
    `loses_redis`: Redis loses data, so the run may be incomplete, and the crawl is repeated.
    `single_use_shop`: later rounds do not crawl this shop again, because its items have wrong times.
    """

    name: str
    inject: Injection
    slow_shop: bool = False
    max_delay: float = _MAX_DELAY
    loses_redis: bool = False
    single_use_shop: bool = False


def kill_fault(role: str) -> Fault:
    is_short_lived = role in _MAX_DELAY_BY_ROLE
    return Fault(
        f"kill {role}",
        partial(_kill, role),
        slow_shop=is_short_lived,
        max_delay=_MAX_DELAY_BY_ROLE.get(role, _MAX_DELAY),
    )


def _kill(role: str, chaos: ChaosSuite, rng: random.Random) -> None:
    kill(chaos.suite, role, rng)


def _full_disk(chaos: ChaosSuite, rng: random.Random) -> None:
    chaos.disk.fill()
    time.sleep(rng.uniform(0.5, 3.0))
    chaos.disk.empty()


def _clock_jump(seconds: int, chaos: ChaosSuite, rng: random.Random) -> None:
    chaos.clock.set(seconds)
    time.sleep(rng.uniform(1.5, 3.0))
    chaos.clock.set(0)


def _failing_s3(modes: tuple[Mode, ...], chaos: ChaosSuite, rng: random.Random) -> None:
    assert chaos.s3 is not None
    chaos.s3.set(*modes)
    time.sleep(rng.uniform(2.0, 4.0))
    chaos.s3.set(Mode.PASS)


def _two_kills(roles: tuple[str, ...], chaos: ChaosSuite, rng: random.Random) -> None:
    for role in rng.sample(roles, 2):
        kill(chaos.suite, role, rng)


_PROGRAMS = ("redis", "scraper", "processor-beat", "catalog-api", "gateway", "accounts", "ml-serving", "trainer")
_SERVERS: Mapping[str, tuple[str, ...]] = {"embedded": (), "cluster": ("postgres", "elasticsearch")}


def list_faults(chaos: ChaosSuite) -> list[Fault]:
    """Returns the faults that the engines and the machine support."""
    servers = _SERVERS[chaos.suite.engines]
    writer = (INDEX_WRITER,) if chaos.suite.engines == "embedded" else ()
    roles = (*_PROGRAMS, *servers, WORKER, *writer, CRAWL)
    faults = [kill_fault(role) for role in roles]
    faults.append(
        Fault(
            "kill two at once",
            partial(_two_kills, ("redis", "scraper", WORKER, CRAWL, *servers)),
            slow_shop=True,
            max_delay=_MAX_DELAY_BY_ROLE[CRAWL],
        )
    )
    for server in ("redis", *servers):
        faults.append(Fault(f"restart {server}", partial(terminate, server)))
        faults.append(Fault(f"stall {server}", partial(stall, server)))
    faults += [
        Fault("broker emptied", redis_faults.empty_broker),
        Fault("entries doubled", stream_faults.double),
        Fault("entries reordered", stream_faults.reorder),
        Fault("entries doubled and reordered", partial(stream_faults.reorder, copies=(1, 1, 2, 3))),
        Fault("redis loses its tail", redis_faults.lose_tail, loses_redis=True),
        Fault("redis loses everything", redis_faults.lose_everything, loses_redis=True),
    ]
    if chaos.s3 is not None:
        faults += [
            Fault("S3 unavailable", partial(_failing_s3, (Mode.REFUSE,))),
            Fault("S3 busy", partial(_failing_s3, (Mode.PASS, Mode.BUSY))),
            Fault("S3 breaks connections", partial(_failing_s3, (Mode.PASS, Mode.CUT, Mode.MUTE))),
        ]
    if chaos.disk.is_available:
        faults.append(Fault("full disk", _full_disk))
    if chaos.clock.is_available:
        faults += [
            Fault("clock an hour ahead", partial(_clock_jump, 3600), single_use_shop=True),
            Fault("clock an hour behind", partial(_clock_jump, -3600), single_use_shop=True),
        ]
    return faults

"""Programs of the suite are killed during a crawl: nothing is lost, nothing is duplicated, the counts add up.

Each round crawls a shop, new or on another day, kills one program with SIGKILL, and waits until the run has settled.
`make test` has one round per program on the embedded engines, `make test-all` has more. `make chaos` runs many rounds,
also with other faults; CI runs it, too.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
from bookwheel_local.settings import EngineSet
from bookwheel_testing.engines import need_cluster
from bookwheel_testing.process_kill import CRAWL, INDEX_WRITER, WORKER

from tests.chaos.arena import Arena, arena
from tests.chaos.checks import Findings
from tests.chaos.faults import killing
from tests.chaos.rounds import play, play_out

SEED = 1588
VICTIMS = {
    EngineSet.EMBEDDED: ("redis", WORKER, INDEX_WRITER, "scraper", CRAWL),
    EngineSet.CLUSTER: ("postgres", "elasticsearch", "redis", WORKER, CRAWL),
}
ROUNDS = {
    EngineSet.EMBEDDED: int(os.environ.get("BOOKWHEEL_KILL_ROUNDS", "15")),
    EngineSet.CLUSTER: int(os.environ.get("BOOKWHEEL_CLUSTER_KILL_ROUNDS", "5")),
}


@pytest.fixture(scope="module")
def arena_on() -> Iterator[Callable[[EngineSet], Arena]]:
    """One suite for all rounds of a set of engines. (A parametrized fixture would start a new one whenever the order of
    the tests changes between its parameters.)
    """
    with ExitStack() as stack:

        @cache
        def arena_on(engines: EngineSet) -> Arena:
            if engines == EngineSet.CLUSTER:
                need_cluster()
            return stack.enter_context(arena(engines, range(ROUNDS[engines])))

        yield arena_on


def rounds() -> Iterator[Any]:
    for engines, count in ROUNDS.items():
        for number in range(count):
            is_slow = engines == EngineSet.CLUSTER or number >= len(VICTIMS[engines])
            yield pytest.param(engines, number, marks=pytest.mark.slow if is_slow else ())


@pytest.mark.parametrize(("engines", "number"), list(rounds()))
def test_a_kill_at_a_random_moment_loses_and_doubles_nothing(
    engines: EngineSet, number: int, arena_on: Callable[[EngineSet], Arena]
) -> None:
    victims = VICTIMS[engines]
    outcome = play(arena_on(engines), killing(victims[number % len(victims)]), number, SEED)
    assert outcome.findings.clean, outcome.findings


@pytest.mark.slow_on(EngineSet.CLUSTER)
@pytest.mark.parametrize("engines", list(EngineSet))
def test_index_and_lake_agree_with_the_records_over_all_sources(
    engines: EngineSet, arena_on: Callable[[EngineSet], Arena]
) -> None:
    findings = Findings()
    play_out(arena_on(engines), findings)
    assert findings.clean, findings

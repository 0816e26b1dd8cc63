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
from bookwheel_testing.engines import require_cluster_engines
from bookwheel_testing.process_kill import CRAWL, INDEX_WRITER, WORKER

from tests.chaos.chaos_suite import ChaosSuite, running_chaos_suite
from tests.chaos.checks import Findings
from tests.chaos.faults import kill_fault
from tests.chaos.rounds import check_final_state, run_round

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
def suite_on() -> Iterator[Callable[[EngineSet], ChaosSuite]]:
    """Returns the suite on a set of engines. A parametrized fixture would start more suites in a random test order."""
    with ExitStack() as stack:

        @cache
        def suite_on(engines: EngineSet) -> ChaosSuite:
            if engines == EngineSet.CLUSTER:
                require_cluster_engines()
            return stack.enter_context(running_chaos_suite(engines, range(ROUNDS[engines])))

        yield suite_on


def rounds() -> Iterator[Any]:
    for engines, count in ROUNDS.items():
        for number in range(count):
            is_slow = engines == EngineSet.CLUSTER or number >= len(VICTIMS[engines])
            yield pytest.param(engines, number, marks=pytest.mark.slow if is_slow else ())


@pytest.mark.parametrize(("engines", "number"), list(rounds()))
def test_a_kill_at_a_random_moment_loses_and_duplicates_nothing(
    engines: EngineSet, number: int, suite_on: Callable[[EngineSet], ChaosSuite]
) -> None:
    victims = VICTIMS[engines]
    outcome = run_round(suite_on(engines), kill_fault(victims[number % len(victims)]), number, SEED)
    assert outcome.findings.clean, outcome.findings


@pytest.mark.slow_on(EngineSet.CLUSTER)
@pytest.mark.parametrize("engines", list(EngineSet))
def test_index_and_lake_agree_with_the_records_over_all_sources(
    engines: EngineSet, suite_on: Callable[[EngineSet], ChaosSuite]
) -> None:
    findings = Findings()
    check_final_state(suite_on(engines), findings)
    assert findings.clean, findings

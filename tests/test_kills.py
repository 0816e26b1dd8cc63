"""Parts of the suite are killed in mid-crawl: nothing is lost, nothing is double, the accounting adds up.

Each round crawls a shop, new or changed since its last crawl, kills one part with SIGKILL, and waits until the run has
settled. `make chaos` plays more rounds, and with other faults.
"""

import os
from collections.abc import Iterator

import pytest
from bookwheel_local.settings import EngineSet
from bookwheel_testing.engines import need_cluster
from bookwheel_testing.victims import CRAWL, INDEX_WRITER, WORKER

from tests.chaos.arena import Arena, arena
from tests.chaos.checks import Findings, check_totals
from tests.chaos.faults import killing
from tests.chaos.rounds import play

SEED = 1588
VICTIMS = {
    EngineSet.EMBEDDED: ("redis", WORKER, INDEX_WRITER, "scraper", CRAWL),
    EngineSet.CLUSTER: ("postgres", "elasticsearch", "redis", WORKER, CRAWL),
}
ROUNDS = {
    EngineSet.EMBEDDED: int(os.environ.get("BOOKWHEEL_KILL_ROUNDS", "30")),
    EngineSet.CLUSTER: int(os.environ.get("BOOKWHEEL_CLUSTER_KILL_ROUNDS", "10")),
}


@pytest.fixture(scope="module", params=list(EngineSet))
def killed(request: pytest.FixtureRequest) -> Iterator[Arena]:
    if request.param == EngineSet.CLUSTER:
        need_cluster()
    with arena(request.param, range(ROUNDS[request.param])) as found:
        yield found


@pytest.mark.parametrize(
    ("killed", "number"),
    [(engines, number) for engines, rounds in ROUNDS.items() for number in range(rounds)],
    indirect=["killed"],
    scope="module",  # else the suite is made anew for each number
)
def test_a_kill_at_a_random_moment_loses_and_doubles_nothing(number: int, killed: Arena) -> None:
    victims = VICTIMS[EngineSet(killed.suite.engines)]
    outcome = play(killed, killing(victims[number % len(victims)]), number, SEED)
    assert outcome.findings.clean, outcome.findings


def test_index_and_records_agree_over_all_sources(killed: Arena) -> None:
    findings = Findings()
    check_totals(findings, killed.suite)
    assert findings.clean, findings

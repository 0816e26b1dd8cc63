"""Schedules the tests of `make test`: two processes run the longest files first, the other processes run them last.

The longest files start whole suites, and two suites use two cores. Other tests mostly wait, so they run in parallel.

A unit of work is a test file, or its tests on one engine if they run on several. Files that use the same suite are one
unit, because a suite takes half a minute to start.
"""

import re
from typing import Any

import pytest
from bookwheel_local.settings import EngineSet

from bookwheel_testing.record_fixtures import RECORDS_ENGINES
from bookwheel_testing.search import SEARCH_ENGINES

_ENGINE = re.compile(rf"(?<=[\[-])({'|'.join([*EngineSet, *RECORDS_ENGINES, *SEARCH_ENGINES])})(?=[\]-])")
_LONGEST = (  # each takes at least a minute on two idle cores; longest first
    "tests/test_kills.py",
    "deploy/local/tests/test_local_suite.py",
    "tests/test_end_to_end.py",
    "packages/stores/tests/test_search_faults.py",
    "services/processor/tests/test_processor_worker.py",
    "services/processor/tests/test_processor_webhook_kills.py",
    "services/processor/tests/test_processor_any_order.py",
    "services/processor/tests/test_processor_concurrency.py",
    "services/processor/tests/test_processor_reindexing.py",
    "services/scraper/tests/test_scraper_service.py",
    "deploy/local/tests/test_local_servers.py",
    "services/ml-serving/tests/test_ml_registry.py",
)
_LONG_PROCESSES = 2
_SHARED_SUITE = {"tests/test_live_changes.py": "tests/test_end_to_end.py"}


def unit_of(test: str) -> str:
    """Returns the unit of work of a test's node id."""
    path, _, name = test.partition("::")
    path = _SHARED_SUITE.get(path, path)
    engine = _ENGINE.search(name)
    return f"{path}@{engine[1]}" if engine else path


def weight_of(unit: str, tests: int, *, long_first: bool) -> tuple[int, int]:
    """Returns the weight of a unit. Units with a higher weight run earlier."""
    path = unit.partition("@")[0]
    index = _LONGEST.index(path) if path in _LONGEST else len(_LONGEST)
    return -index if long_first else index, tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Replaces the scheduler of `--dist loadfile`."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415 - optional

    class LongestFirst(LoadFileScheduling):  # type: ignore[misc]  # untyped
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            long_first = list(self.assigned_work).index(node) < _LONG_PROCESSES
            heaviest = max(
                self.workqueue, key=lambda unit: weight_of(unit, len(self.workqueue[unit]), long_first=long_first)
            )
            self.workqueue.move_to_end(heaviest, last=False)
            super()._assign_work_unit(node)

    return LongestFirst(config, log)

"""Which tests each process of `make test` takes, and when: two begin with what takes long, the others end with it.

What takes long is mostly whole suites, and two keep two cores busy. Beside them there is time for tests that wait.

A unit is a file's tests, or, where they run on several engines, those of the file on one of them. Files whose tests use
the same suite are of one unit: a suite takes half a minute to start.
"""

import re
from typing import Any

import pytest
from bookwheel_local.settings import EngineSet

from bookwheel_testing.records import RECORDS_ENGINES
from bookwheel_testing.search import SEARCH_ENGINES

_ENGINE = re.compile(rf"(?<=[\[-])({'|'.join([*EngineSet, *RECORDS_ENGINES, *SEARCH_ENGINES])})(?=[\]-])")
_LONGEST = (  # a minute or more each on two idle cores, the longest first
    "tests/test_kills.py",
    "deploy/local/tests/test_local_suite.py",
    "tests/test_end_to_end.py",
    "packages/stores/tests/test_search_faults.py",
    "services/processor/tests/test_processor_worker.py",
    "services/processor/tests/test_processor_webhook_kills.py",
    "services/processor/tests/test_processor_any_order.py",
    "services/processor/tests/test_processor_storm.py",
    "services/processor/tests/test_processor_reindexing.py",
    "services/scraper/tests/test_scraper_service.py",
    "deploy/local/tests/test_local_servers.py",
    "services/ml-serving/tests/test_ml_registry.py",
)
_LONG_AT_ONCE = 2
_ON_THE_SAME_SUITE = {"tests/test_live_changes.py": "tests/test_end_to_end.py"}


def unit_of(test: str) -> str:
    """The unit that the test of this node id belongs to."""
    path, _, name = test.partition("::")
    path = _ON_THE_SAME_SUITE.get(path, path)
    engine = _ENGINE.search(name)
    return f"{path}@{engine[1]}" if engine else path


def weight_of(unit: str, tests: int, *, long_first: bool) -> tuple[int, int]:
    """The heavier, the earlier."""
    path = unit.partition("@")[0]
    place = _LONGEST.index(path) if path in _LONGEST else len(_LONGEST)
    return -place if long_first else place, tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `--dist loadfile` only; other distributions stay what they are."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]  # noqa: PLC0415 - not there without it

    class TwoLong(LoadFileScheduling):  # type: ignore[misc]  # untyped
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

        def _assign_work_unit(self, node: Any) -> None:
            long_first = list(self.assigned_work).index(node) < _LONG_AT_ONCE
            heaviest = max(
                self.workqueue, key=lambda unit: weight_of(unit, len(self.workqueue[unit]), long_first=long_first)
            )
            self.workqueue.move_to_end(heaviest, last=False)
            super()._assign_work_unit(node)

    return TwoLong(config, log)

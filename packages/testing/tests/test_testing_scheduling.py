"""Two processes run the longest files first. The tests of a file on several engines can run in parallel."""

from pathlib import Path

import pytest
from bookwheel_testing import scheduling
from bookwheel_testing.scheduling import unit_of, weight_of

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        ("tests/test_kills.py::test_a_kill[cluster-3]", "tests/test_kills.py@cluster"),
        ("a/test_a.py::test_one[x-postgresql]", "a/test_a.py@postgresql"),
        ("a/test_a.py::test_one[not-sqlites]", "a/test_a.py"),
        ("a/test_a.py::test_sqlite", "a/test_a.py"),
        ("tests/sqlite/test_a.py::test_one[1]", "tests/sqlite/test_a.py"),
    ],
)
def test_the_tests_of_a_file_on_one_engine_stay_together(test: str, unit: str) -> None:
    assert unit_of(test) == unit


def test_some_processes_begin_with_the_longest_files_and_others_end_with_them() -> None:
    units = {"a/test_a.py": 3, "tests/test_kills.py@cluster": 11, "a/test_b.py": 30, "tests/test_kills.py@embedded": 31}

    def order(*, long_first: bool) -> list[str]:
        return sorted(units, key=lambda unit: weight_of(unit, units[unit], long_first=long_first), reverse=True)

    kills, others = ["tests/test_kills.py@embedded", "tests/test_kills.py@cluster"], ["a/test_b.py", "a/test_a.py"]
    assert order(long_first=True) == kills + others
    assert order(long_first=False) == others + kills


def test_the_listed_long_files_exist() -> None:
    assert [path for path in scheduling._LONGEST if not (ROOT / path).exists()] == []

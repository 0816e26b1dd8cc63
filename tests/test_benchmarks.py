"""The scripts of `make bench`: their page, the reported machine, and missing engines."""

import re
import subprocess
from pathlib import Path

import pytest
from bookwheel_local.engines import EngineNotInstalledError

from benchmarks import __main__ as bench
from benchmarks.harness import NOT_INSTALLED, run
from benchmarks.results import Result, describe_machine, page

ROOT = Path(__file__).resolve().parents[1]


def test_the_page_lists_every_benchmark() -> None:
    text = (ROOT / "docs" / "reference" / "benchmarks.md").read_text()
    scripts = sorted(script.stem for script in (ROOT / "benchmarks").glob("bench_*.py"))
    assert sorted({line.split("`")[1] for line in text.splitlines() if line.startswith("| `bench_")}) == scripts


def test_a_result_describes_cpus_python_and_disk_of_the_machine() -> None:
    pattern = r"\d+ CPUs, load [\d.]+; Python 3\.\d+\.\d+, [\w' ]+ build, \d+ ns a loop; fsync \d+\.\d\d ms"
    assert re.fullmatch(pattern, describe_machine())


def test_the_table_of_results_replaces_the_previous_table() -> None:
    results = [
        Result("fast", 10.0, 5.0, 2.0, 1.0, holds=True, unit="items/s", machine="first machine"),
        Result("slow", 1.0, 4.0, 0.25, 0.5, holds=False, unit="items/s", machine="second machine"),
    ]
    text = page("before\n<!-- results -->\nold\n<!-- end of results -->\nafter\n", results)
    assert "| fast | 10.0 | 5.0 | items/s | 2.00 | 1 | 1 |\n" in text
    assert "| slow | 1.0 | 4.0 | items/s | **0.25** | 0.5 | 2 |\n" in text
    assert "1. first machine\n2. second machine\n" in text
    assert "old" not in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert page(text, results) == text


def test_a_benchmark_without_its_engine_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def without_engine(_arguments: list[str]) -> None:
        raise EngineNotInstalledError("PostgreSQL", "postgres")

    with pytest.raises(SystemExit) as exit_info:
        run(without_engine)
    assert exit_info.value.code == NOT_INSTALLED
    assert capsys.readouterr().err == "PostgreSQL is missing: run deploy/local/engines.sh postgres\n"


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (NOT_INSTALLED, "bench_accounts was skipped: its engine is not installed"),
        (1, "bench_accounts failed with status 1"),
    ],
)
def test_bench_reports_failed_benchmarks_and_runs_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], status: int, line: str
) -> None:
    statuses = {"benchmarks.bench_accounts": status, "benchmarks.bench_exports": 0}
    run_modules: list[str] = []

    def execute(command: list[str], *, check: bool) -> "subprocess.CompletedProcess[str]":
        run_modules.append(command[-1])
        return subprocess.CompletedProcess(command, statuses[command[-1]])

    monkeypatch.setattr(subprocess, "run", execute)
    assert bench.main(["accounts", "exports"]) == 1
    assert run_modules == list(statuses)
    assert line in capsys.readouterr().out.splitlines()

"""The results file, the machine that they were measured on, and their table in docs/reference/benchmarks.md.

`python -m benchmarks.results` writes the table; with `--check` it reports whether the table is current.
"""

import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from tools.pages import write_or_check

RESULTS = Path(__file__).parent / "results.json"
PAGE = Path("docs/reference/benchmarks.md")
_TABLE = re.compile(r"(?<=<!-- results -->\n).*?(?=<!-- end of results -->)", re.DOTALL)
_FSYNCS = 50
_LOOPS = 100_000


@dataclass(frozen=True, slots=True)
class Result:
    """The rate of the product (`ours`) and of the baseline (`floor`); higher is better.

    `ratio` is ours / floor. `holds` is True if the ratio is at least `bound`.
    """

    name: str
    ours: float
    floor: float
    ratio: float
    bound: float
    holds: bool
    unit: str
    machine: str = ""

    def line(self) -> str:
        verdict = "holds" if self.holds else "MISSED"
        return (
            f"{self.name:<44} {self.ours:>12,.1f} {self.floor:>12,.1f} {self.unit:<10}"
            f" {self.ratio:>9.2f} (at least {self.bound:g}) {verdict}"
        )


HEADER = f"{'benchmark':<44} {'ours':>12} {'floor':>12} {'unit':<10} {'ratio':>9}"


@cache
def describe_machine() -> str:
    """Describes what ratios depend on: CPUs, load, Python and disk, as measured by the first call."""
    build = "distribution's build" if sys.base_prefix == "/usr" else "other build"
    return (
        f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {build},"
        f" {_loop_nanoseconds():.0f} ns a loop; fsync {_fsync_milliseconds():.2f} ms"
    )


def _loop_nanoseconds() -> float:
    """Least processor time of one pass of a plain loop, which takes 40 % longer without PGO."""
    facts = {"title": "", "price": 1, "stock": 1}
    seconds = []
    for _ in range(3):
        started = time.process_time()
        for number in range(_LOOPS):
            tuple({**facts, "number": number}.items())
        seconds.append(time.process_time() - started)
    return min(seconds) / _LOOPS * 1e9


def _fsync_milliseconds() -> float:
    """Median time until 4 KB more of a file are on the disk, in the folder that benchmarks write to."""
    seconds = []
    with tempfile.TemporaryFile() as file:
        for _ in range(_FSYNCS):
            file.write(bytes(4096))
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def load() -> list[Result]:
    return [Result(**entry) for entry in json.loads(RESULTS.read_text())] if RESULTS.exists() else []


def save(results: Sequence[Result]) -> None:
    """Adds results to the file. They replace earlier results with the same names."""
    results_by_name = {result.name: result for result in [*load(), *results]}
    new_file = RESULTS.with_suffix(".new")
    new_file.write_text(json.dumps([asdict(result) for result in results_by_name.values()], indent=2) + "\n")
    new_file.rename(RESULTS)


def table(results: Sequence[Result]) -> str:
    """Formats the results, and a numbered list of the machines that they were measured on."""
    machines = list(dict.fromkeys(result.machine for result in results))
    rows = ["| benchmark | ours | floor | unit | ratio | at least | machine |", "|---|---|---|---|---|---|---|"]
    for result in results:
        bound = f"{result.bound:.3g}" if result.bound else ""
        ratio = f"{result.ratio:.2f}" if result.holds else f"**{result.ratio:.2f}**"
        figures = f"{result.ours:,.1f} | {result.floor:,.1f} | {result.unit} | {ratio} | {bound}"
        rows.append(f"| {result.name} | {figures} | {machines.index(result.machine) + 1} |")
    notes = [f"{number}. {machine or 'not recorded'}" for number, machine in enumerate(machines, 1)]
    return "\n".join([*rows, "", "Machines:", "", *notes]) + "\n"


def page(text: str, results: Sequence[Result]) -> str:
    return _TABLE.sub(lambda _: table(results), text)


if __name__ == "__main__":
    raise SystemExit(write_or_check(PAGE, page(PAGE.read_text(), load())))

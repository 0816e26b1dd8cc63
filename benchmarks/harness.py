"""Runs ours beside a floor, interleaved in one run, and reports the ratio of their medians."""

import json
import re
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = Path(__file__).parent / "results.json"


@dataclass(frozen=True, slots=True)
class Result:
    """`ratio` is ours / floor; `holds` where it is at least `bound`. Both sides are rates: more is better."""

    name: str
    ours: float
    floor: float
    ratio: float
    bound: float
    holds: bool
    unit: str

    def line(self) -> str:
        verdict = "holds" if self.holds else "MISSED"
        return (
            f"{self.name:<44} {self.ours:>12,.1f} {self.floor:>12,.1f} {self.unit:<10}"
            f" {self.ratio:>9.2f} (at least {self.bound:g}) {verdict}"
        )


HEADER = f"{'benchmark':<44} {'ours':>12} {'beside':>12} {'unit':<10} {'ratio':>9}"


def compare(
    name: str, *, ours: Callable[[], float], floor: Callable[[], float], bound: float, unit: str, rounds: int = 5
) -> Result:
    """Calls both in turn, `rounds` times after one warm-up each; each call returns its rate in `unit`."""
    ours()
    floor()
    pairs = [(ours(), floor()) if number % 2 else tuple(reversed((floor(), ours()))) for number in range(rounds)]
    return result(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], bound=bound, unit=unit)


def result(name: str, ours: Sequence[float], floor: Sequence[float], *, bound: float, unit: str) -> Result:
    """A result of rates that were measured already."""
    our_rate, floor_rate = statistics.median(ours), statistics.median(floor)
    ratio = our_rate / floor_rate
    measured = Result(name, our_rate, floor_rate, ratio, bound, ratio >= bound, unit)
    print(measured.line(), flush=True)
    return measured


def save(results: Sequence[Result]) -> None:
    """Puts results into `results.json` in place of earlier ones of the same names."""
    known = {entry["name"]: entry for entry in json.loads(RESULTS.read_text())} if RESULTS.exists() else {}
    known.update({entry.name: asdict(entry) for entry in results})
    aside = RESULTS.with_suffix(".new")
    aside.write_text(json.dumps(list(known.values()), indent=2) + "\n")
    aside.rename(RESULTS)


def requests_per_second(
    url: str,
    *,
    seconds: int = 3,
    connections: int = 16,
    headers: Mapping[str, str] | None = None,
    script: str | None = None,
) -> float:
    """What `wrk` gets out of a URL with one thread. RuntimeError where any answer was not a 2xx or a socket failed.

    `script` is Lua for wrk, with which each request can differ.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        options = [option for name, value in (headers or {}).items() for option in ("-H", f"{name}: {value}")]
        if script:
            lua.write(script)
            lua.flush()
            options += ["-s", lua.name]
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", *options, url]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in printed or "Socket errors" in printed:
        raise RuntimeError(f"{url}: {printed}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    if found is None:
        raise RuntimeError(f"wrk said nothing of {url}: {printed}")
    return float(found[1])

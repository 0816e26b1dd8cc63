"""Measures the product (`ours`) and a baseline (`floor`) alternately in one run. The result is the ratio of medians."""

import json
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from bookwheel_local.engines import EngineNotInstalledError

from benchmarks.results import Result, describe_machine

NOT_INSTALLED = 3
"""Exit status of a benchmark whose engine is not installed."""


def compare(
    name: str, *, ours: Callable[[], float], floor: Callable[[], float], bound: float, unit: str, rounds: int = 5
) -> Result:
    """Calls both alternately, `rounds` times after a warm-up. Each call returns its rate in `unit`."""
    ours()
    floor()
    pairs = [(ours(), floor()) if number % 2 else tuple(reversed((floor(), ours()))) for number in range(rounds)]
    return result(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs], bound=bound, unit=unit)


def result(name: str, ours: Sequence[float], floor: Sequence[float], *, bound: float, unit: str) -> Result:
    """Builds and prints a result from measured rates."""
    our_rate, floor_rate = statistics.median(ours), statistics.median(floor)
    ratio = our_rate / floor_rate
    measured = Result(name, our_rate, floor_rate, ratio, bound, ratio >= bound, unit, describe_machine())
    print(measured.line(), flush=True)
    return measured


def run(main: Callable[[list[str]], None]) -> NoReturn:
    """Runs a script with the command's arguments; exits with `NOT_INSTALLED` if an engine is missing."""
    describe_machine()  # before the benchmark adds to the load
    try:
        main(sys.argv[1:])
    except EngineNotInstalledError as error:
        print(error, file=sys.stderr)
        raise SystemExit(NOT_INSTALLED) from None
    raise SystemExit(0)


def requests_per_second(
    url: str,
    *,
    seconds: int = 3,
    connections: int = 16,
    headers: Mapping[str, str] | None = None,
    script: str | None = None,
) -> float:
    """Measures with `wrk` and one thread. Raises RuntimeError for a response other than 2xx or a socket error.

    `script` is a Lua script for wrk that can vary the requests.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as lua:
        options = [option for name, value in (headers or {}).items() for option in ("-H", f"{name}: {value}")]
        if script:
            lua.write(script)
            lua.flush()
            options += ["-s", lua.name]
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", *options, url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise RuntimeError(f"{url}: {output}")
    match = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if match is None:
        raise RuntimeError(f"wrk printed no rate for {url}: {output}")
    return float(match[1])


def distinct_searches(words: list[str], path: str, *, first: int) -> str:
    """Returns a Lua script for wrk that fills `{word}` and `{number}` in `path`. Numbers count up after `first`.

    The constant part of each request is built once: formatting every request cost wrk 20 µs, on the cores that it
    shares with the servers under test.
    """
    return f"""
local words = {{{", ".join(json.dumps(word) for word in words)}}}
local number = {first}
local starts, ends = {{}}, {{}}
init = function()
  for index, word in ipairs(words) do
    local path = {json.dumps(path)}
    local request = wrk.format(nil, (path:gsub("{{word}}", word)))
    starts[index], ends[index] = request:match("^(.*){{number}}(.*)$")
  end
end
request = function()
  number = number + 1
  local index = number % #words + 1
  return starts[index] .. number .. ends[index]
end
"""

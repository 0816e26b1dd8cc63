"""Search: through the gateway beside the service itself, cached beside uncached, with facets beside a bare endpoint."""

import json
import sys
import time
from itertools import count

from bookwheel_testing.servers import answers, free_port, running
from bookwheel_testing.suite import Suite

from benchmarks.harness import Result, compare, requests_per_second, save
from benchmarks.suite import internal_token, running_suite

SEARCH = "/api/v1/books?limit=20&sort=relevance&q={word}&filter=stock:0..{never_twice}"
FACETS = "&facet=category&facet=rating&facet=price"
_ROUNDS = count(time.time_ns() // 1_000_000_000 % 1_000_000)


def search_words(suite: Suite) -> list[str]:
    """The longest word of each of a hundred titles."""
    titles = [book["title"] for book in suite.get("/api/v1/books", params={"limit": "100"})["items"]]
    words = {
        max((word for word in title.split() if word.isascii() and word.isalpha()), key=len, default="")
        for title in titles
    }
    return sorted(words - {""})


def never_the_same(words: list[str], path: str = SEARCH) -> str:
    """Lua for wrk: requests of which no two, in any round, are the same query.

    What is the same in all of them is put together once: formatting each anew took wrk 20 µs a request, of cores that
    it shares with what is measured.
    """
    return f"""
local words = {{{", ".join(json.dumps(word) for word in words)}}}
local number = {next(_ROUNDS) * 1_000_000}
local starts, ends = {{}}, {{}}
init = function()
  for place, word in ipairs(words) do
    local path = {json.dumps(path)}
    local request = wrk.format(nil, (path:gsub("{{word}}", word)))
    starts[place], ends[place] = request:match("^(.*){{never_twice}}(.*)$")
  end
end
request = function()
  number = number + 1
  local place = number % #words + 1
  return starts[place] .. number .. ends[place]
end
"""


def measure(suite: Suite) -> list[Result]:
    words = search_words(suite)
    catalog = f"http://127.0.0.1:{suite.port_base + 1}"

    def through_gateway(path: str) -> float:
        headers = {"Authorization": f"Bearer {suite.token()}"}
        return requests_per_second(suite.url, headers=headers, script=never_the_same(words, path))

    def directly() -> float:
        headers = {"Authorization": f"Bearer {internal_token(suite)}"}
        return requests_per_second(catalog, headers=headers, script=never_the_same(words))

    def cached() -> float:
        path = SEARCH.format(word=words[0], never_twice=0)
        return requests_per_second(suite.url + path, headers={"Authorization": f"Bearer {suite.token()}"})

    port = free_port()
    constant = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "benchmarks.constant", str(port)]
    log = suite.state / "logs" / "constant.log"
    with running(command, log=log, ready=lambda: answers(constant)):
        return [
            compare(
                "search uncached, gateway or catalog itself",
                ours=lambda: through_gateway(SEARCH),
                floor=directly,
                bound=0.5,
                unit="requests/s",
            ),
            compare(
                "search through the gateway, cached or not",
                ours=cached,
                floor=lambda: through_gateway(SEARCH),
                bound=1.5,
                unit="requests/s",
            ),
            compare(
                "search with facets, or a constant",
                ours=lambda: through_gateway(SEARCH + FACETS),
                floor=lambda: requests_per_second(constant),
                bound=0.13,
                unit="requests/s",
            ),
        ]


if __name__ == "__main__":
    with running_suite() as suite:
        save(measure(suite))

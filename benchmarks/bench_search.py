"""Search: the gateway compared with the catalog API, cached with uncached, searches with facets with a no-op server."""

import time
from itertools import count

from bookwheel_testing.suite_under_test import SuiteUnderTest

from benchmarks.benchmark_suite import internal_token, running_noop_server, running_suite
from benchmarks.harness import compare, distinct_searches, requests_per_second, run
from benchmarks.results import Result, save
from benchmarks.sample_items import longest_words

SEARCH = "/api/v1/books?limit=20&sort=relevance&q={word}&filter=stock:0..{number}"
FACETS = "&facet=category&facet=rating&facet=price"
_ROUNDS = count(time.time_ns() // 1_000_000_000 % 1_000_000)


def measure(suite: SuiteUnderTest) -> list[Result]:
    books = suite.get("/api/v1/books", params={"limit": "100"})["items"]
    words = longest_words(book["title"] for book in books)
    catalog = f"http://127.0.0.1:{suite.port_base + 1}"

    def uncached_searches(path: str) -> str:
        """Every request, in every round, is a different query."""
        return distinct_searches(words, path, first=next(_ROUNDS) * 1_000_000)

    def through_gateway(path: str) -> float:
        headers = {"Authorization": f"Bearer {suite.token()}"}
        return requests_per_second(suite.url, headers=headers, script=uncached_searches(path))

    def directly() -> float:
        headers = {"Authorization": f"Bearer {internal_token(suite)}"}
        return requests_per_second(catalog, headers=headers, script=uncached_searches(SEARCH))

    def cached() -> float:
        path = SEARCH.format(word=words[0], number=0)
        return requests_per_second(suite.url + path, headers={"Authorization": f"Bearer {suite.token()}"})

    with running_noop_server(suite) as noop:
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
                floor=lambda: requests_per_second(noop),
                bound=0.13,
                unit="requests/s",
            ),
        ]


def main(_arguments: list[str]) -> None:
    with running_suite() as suite:
        save(measure(suite))


if __name__ == "__main__":
    run(main)

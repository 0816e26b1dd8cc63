"""Writes docs/reference/capacity.md: how many replicas carry what, as arithmetic on `results.json`.

With `--check`, says whether it is current. A number with a `*` is extrapolated: nobody measured that many replicas, or
a catalogue of that size.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bookwheel_local.development.pages import keep_current

from benchmarks.harness import RESULTS, Result

PAGE = Path("docs/reference/capacity.md")
LOAD = 0.5
"""Of what it can carry, a replica is given this share."""
DAY = 86_400
PAGES_PER_BOOK = 1.05
"""The demo shop's 1,000 books stand on 1,050 pages; lists of 20."""
SMALL_BOOKS, LARGE_BOOKS = 1_000, 100_000
BOOKS = (1_000_000, 10_000_000, 100_000_000)
RATES = (10, 1_000, 10_000)
INGEST, GROWTH, CRAWL = (
    "ingest and projection, or a bare loop",
    "ingest at 100,000 books, or at 1,000",
    "crawl, with publishing or without",
)
REQUESTS = {
    "searches, each another": "search uncached, gateway or catalog itself",
    "searches with three facets": "search with facets, or a constant",
    "searches that repeat": "search through the gateway, cached or not",
    "predictions": "one prediction over HTTP",
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of one replica of each service, in units a second."""

    results: Mapping[str, Result]

    def rate(self, name: str) -> float:
        """Raises SystemExit where that benchmark has no result yet."""
        if name not in self.results:
            raise SystemExit(f"{RESULTS} has no {name!r}; run: make bench")
        return self.results[name].ours

    def ingest(self, books: int) -> float:
        """Items that one processor takes in at a catalogue of that size: the measured loss goes on for each tenfold."""
        growth = self.results[GROWTH].ratio if GROWTH in self.results else self.rate(GROWTH)
        decades = math.log10(books / LARGE_BOOKS)
        per_decade = growth ** (1 / math.log10(LARGE_BOOKS / SMALL_BOOKS))
        return float(self.rate(GROWTH) * per_decade**decades)


def read_results() -> Measured:
    return Measured({entry["name"]: Result(**entry) for entry in json.loads(RESULTS.read_text())})


def replicas(needed: float, one: float) -> int:
    return max(1, math.ceil(needed / (LOAD * one)))


def marked(count: int, *, extrapolated: bool) -> str:
    return f"{count}{' *' if extrapolated else ''}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def carried(measured: Measured) -> Iterator[tuple[str, str, str]]:
    yield "scraper", f"{measured.rate(CRAWL):,.0f} pages/s", "from a shop that answers at once"
    yield "processor", f"{measured.rate(INGEST):,.0f} items/s", "from the stream to records and index, new catalogue"
    yield "processor", f"{measured.rate(GROWTH):,.0f} items/s", f"the same at {LARGE_BOOKS:,} books"
    for what, name in REQUESTS.items():
        service = "gateway, ml-serving" if what == "predictions" else "gateway, catalog-api"
        yield service, f"{measured.rate(name):,.0f} requests/s", what


def by_books(measured: Measured) -> Iterator[tuple[str, ...]]:
    for books in BOOKS:
        items = books / DAY
        one = measured.ingest(books)
        scrapers, processors = replicas(items * PAGES_PER_BOOK, measured.rate(CRAWL)), replicas(items, one)
        yield (
            f"{books:,}",
            f"{items:,.0f}",
            marked(scrapers, extrapolated=scrapers > 1),
            f"{one:,.0f} *",
            marked(processors, extrapolated=True),
            f"{books / one / 3600:,.1f} h *",
        )


def by_rate(measured: Measured) -> Iterator[tuple[str, ...]]:
    for what, name in REQUESTS.items():
        counts = [replicas(rate, measured.rate(name)) for rate in RATES]
        yield what, *(marked(count, extrapolated=count > 1) for count in counts)


def page(measured: Measured) -> str:
    of_books = table(
        ("books", "items/s", "scrapers", "items/s of one processor", "processors", "first fill, one processor"),
        list(by_books(measured)),
    )
    fall = measured.results[GROWTH].ratio
    politely = DAY / PAGES_PER_BOOK
    return f"""\
# Capacity

Made by `make docs` from `benchmarks/results.json`, that is from `make bench` on one machine of two cores which also ran
the stores and the load. `*` marks what is extrapolated: a catalogue larger than any that was measured, or more than
one replica, as if replicas added up. They do while the stores keep up: [scaling](../runbooks/scaling.md).

## What one replica carries: measured

{table(("service", "rate", "of what"), list(carried(measured)))}

A replica is one process (catalog-api, ml-serving, scraper) or one worker (processor), on SQLite and Tantivy. Replicas
below are loaded to {LOAD:.0%} of that: room for peaks, and for one replica that fails.

## How many for so many books, each crawled once a day

`items/s` is books / {DAY:,} s; a book takes {PAGES_PER_BOOK} pages. From {SMALL_BOOKS:,} to {LARGE_BOOKS:,} books, two
tenfolds, a processor's rate fell to {fall:.3f} of itself: each further tenfold is taken to cost its square root.

{of_books}

A shop that allows one page a second has at most {politely:,.0f} books crawled a day by any number of scrapers.

## How many for so many requests a second

Replicas of catalog-api, or of ml-serving for predictions, each with a gateway, at the benchmarks' {SMALL_BOOKS:,}
books.

{table(("requests", *(f"{rate:,}/s" for rate in RATES)), list(by_rate(measured)))}
"""


def main() -> int:
    return keep_current(PAGE, page(read_results()))


if __name__ == "__main__":
    raise SystemExit(main())

"""Writes docs/reference/capacity.md: the replicas for a load, calculated from `results.json`.

With `--check`, reports whether it is current. A number with a `*` is extrapolated: that many replicas, or a catalog of
that size, were not measured.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import RESULTS, Result, load
from tools.pages import write_or_check

PAGE = Path("docs/reference/capacity.md")
LOAD = 0.5
"""The planned load of a replica, as a share of its measured rate."""
DAY = 86_400
PAGES_PER_BOOK = 1.05
"""The demo shop has 1,050 pages for 1,000 books: a page per book, and lists of 20."""
SMALL_BOOKS, LARGE_BOOKS = 1_000, 100_000
MAX_GROWTH_FACTOR = 0.8
BOOKS = (1_000_000, 10_000_000, 100_000_000)
RATES = (10, 1_000, 10_000)
INGEST, GROWTH, CRAWL = (
    "ingest and projection, or a bare loop",
    "ingest at 100,000 books, or at 1,000",
    "crawl, with publishing or without",
)
POSTGRESQL, ELASTICSEARCH, ELASTICSEARCH_SEARCH = (
    "ingest into PostgreSQL, two workers or one",
    "pipeline into Elasticsearch, or a raw bulk",
    "search on Elasticsearch, cached or not",
)
LOGINS, CHECKS = "logins, or bare argon2", "checks of a token, or a constant"
REQUESTS = {
    "distinct searches": "search uncached, gateway or catalog itself",
    "searches with three facets": "search with facets, or a constant",
    "repeated searches": "search through the gateway, cached or not",
    "predictions": "one prediction over HTTP",
}


_SERVICES = {
    "predictions": "gateway, ml-serving",
    "distinct searches on Elasticsearch": "catalog-api",
    "repeated searches on Elasticsearch": "catalog-api",
    "logins": "accounts",
    "token checks": "accounts",
}


@dataclass(frozen=True, slots=True)
class MeasuredRates:
    """Measured rates of one replica of each service, per second."""

    results: Mapping[str, Result]

    def result(self, name: str) -> Result:
        """Returns a result. Raises SystemExit if the benchmark has no result yet."""
        if name not in self.results:
            raise SystemExit(f"{RESULTS} has no {name!r}; run: make bench")
        return self.results[name]

    def rate(self, name: str) -> float:
        return self.result(name).ours

    @property
    def cluster_ingest(self) -> float:
        """Items/s of a processor on PostgreSQL and Elasticsearch: the rate of the slower one."""
        return min(self.result(POSTGRESQL).floor, self.rate(ELASTICSEARCH))

    def cluster_ingest_at(self, books: int) -> float:
        """Returns the same rate at a catalog size, reduced like SQLite's rate."""
        return self.cluster_ingest * min(1.0, self.ingest(books) / self.result(GROWTH).floor)

    def requests(self) -> dict[str, float]:
        """Returns the requests/s of a replica of catalog-api, ml-serving or accounts."""
        searches = self.result(ELASTICSEARCH_SEARCH)
        return {kind: self.rate(name) for kind, name in REQUESTS.items()} | {
            "distinct searches on Elasticsearch": searches.floor,
            "repeated searches on Elasticsearch": searches.ours,
            "logins": self.rate(LOGINS),
            "token checks": self.rate(CHECKS),
        }

    @property
    def growth(self) -> float:
        """The assumed factor of the ingest rate for a hundredfold catalog: at most the benchmark's bound."""
        return min(self.result(GROWTH).ratio, MAX_GROWTH_FACTOR)

    def ingest(self, books: int) -> float:
        """Returns a processor's items/s at a catalog size. Each tenfold catalog reduces it by the same factor."""
        decades = math.log10(books / LARGE_BOOKS)
        per_decade = self.growth ** (1 / math.log10(LARGE_BOOKS / SMALL_BOOKS))
        return float(self.rate(GROWTH) * per_decade**decades)


def read_results() -> MeasuredRates:
    return MeasuredRates({result.name: result for result in load()})


def replicas(total_rate: float, rate_per_replica: float) -> int:
    return max(1, math.ceil(total_rate / (LOAD * rate_per_replica)))


def format_count(count: int, *, extrapolated: bool) -> str:
    return f"{count}{' *' if extrapolated else ''}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def rates_per_replica(measured: MeasuredRates) -> Iterator[tuple[str, str, str]]:
    yield "scraper", f"{measured.rate(CRAWL):,.0f} pages/s", "of a shop that responds immediately"
    yield "processor", f"{measured.rate(INGEST):,.0f} items/s", "from the stream to records and index, empty catalog"
    yield "processor", f"{measured.rate(GROWTH):,.0f} items/s", f"the same at {LARGE_BOOKS:,} books"
    postgresql = measured.result(POSTGRESQL)
    yield "processor", f"{postgresql.floor:,.0f} items/s", "from the stream to PostgreSQL, one ingest process"
    yield "processor", f"{postgresql.ours:,.0f} items/s", "the same, two ingest processes"
    yield "processor", f"{measured.rate(ELASTICSEARCH):,.0f} items/s", "from the stream to records and Elasticsearch"
    for kind, rate in measured.requests().items():
        yield _SERVICES.get(kind, "gateway, catalog-api"), f"{rate:,.0f} requests/s", kind


def by_books(measured: MeasuredRates) -> Iterator[tuple[str, ...]]:
    for books in BOOKS:
        items = books / DAY
        ingest_rate = measured.ingest(books)
        scrapers = replicas(items * PAGES_PER_BOOK, measured.rate(CRAWL))
        is_enough = replicas(items, ingest_rate) == 1
        yield (
            f"{books:,}",
            f"{items:,.0f}",
            format_count(scrapers, extrapolated=scrapers > 1),
            f"{ingest_rate:,.0f} *",
            "yes *" if is_enough else "no *",
            f"{books / ingest_rate / 3600:,.1f} h *",
            format_count(replicas(items, measured.cluster_ingest_at(books)), extrapolated=True),
        )


def by_rate(measured: MeasuredRates) -> Iterator[tuple[str, ...]]:
    for kind, rate_per_replica in measured.requests().items():
        counts = [replicas(rate, rate_per_replica) for rate in RATES]
        yield kind, *(format_count(count, extrapolated=count > 1) for count in counts)


def page(measured: MeasuredRates) -> str:
    books_table = table(
        (
            "books",
            "items/s",
            "scrapers",
            "items/s of the one processor on SQLite",
            "is it enough?",
            "first fill",
            "processors on PostgreSQL and Elasticsearch",
        ),
        list(by_books(measured)),
    )
    measured_growth = measured.result(GROWTH).ratio
    polite_books = DAY / PAGES_PER_BOOK
    return f"""\
# Capacity

Generated by `make docs` from `benchmarks/results.json`, the results of `make bench` on one machine of two cores that
also ran the stores and the load. `*` marks extrapolated figures: a catalog larger than any that was measured, or more
than one replica, assuming linear scaling. That holds while the stores keep up: [scaling](../runbooks/scaling.md).

## Measured capacity of one replica

{table(("service", "rate", "of what"), list(rates_per_replica(measured)))}

A replica is one process (catalog-api, ml-serving, scraper) or one worker (processor), on SQLite and Tantivy with
{SMALL_BOOKS:,} books unless stated otherwise; searches on Elasticsearch are at {LARGE_BOOKS:,}. The tables below load
replicas to {LOAD:.0%}, which leaves room for peaks and a failed replica.

## Replicas by number of books, each crawled once a day

`items/s` is books / {DAY:,} s; a book takes {PAGES_PER_BOOK} pages. From {SMALL_BOOKS:,} to {LARGE_BOOKS:,} books, a
processor's rate changed by the factor {measured_growth:.3f}; the tables assume {measured.growth:.3f}, and its square
root for each further tenfold. SQLite has one writer, so there is only one processor. On PostgreSQL and Elasticsearch a
processor is assumed to reach the rate of the slower one, {measured.cluster_ingest:,.0f} items/s. It is reduced like
SQLite's rate at that size, because it was not measured there.

{books_table}

At one page per second, {polite_books:,.0f} books of one shop can be crawled per day, with any number of scrapers.

## Replicas by requests per second

Replicas of catalog-api, or of ml-serving for predictions, each with a gateway. An uncached search on Elasticsearch is
mostly Elasticsearch's work: those rows count nodes of two cores with a catalog on each. Searches were measured at
{SMALL_BOOKS:,} books, on Elasticsearch at {LARGE_BOOKS:,}, and not in larger catalogs. The gateway checks a token
once in ten seconds: the checks per second are a tenth of the concurrent users.

{table(("requests", *(f"{rate:,}/s" for rate in RATES)), list(by_rate(measured)))}
"""


def main() -> int:
    return write_or_check(PAGE, page(read_results()))


if __name__ == "__main__":
    raise SystemExit(main())

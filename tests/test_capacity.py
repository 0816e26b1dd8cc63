"""The capacity table's arithmetic, on figures that make it easy to follow."""

from benchmarks import capacity
from benchmarks.capacity import Measured, by_books, by_rate
from benchmarks.results import Result


def result(name: str, ours: float, floor: float) -> Result:
    return Result(name=name, ours=ours, floor=floor, ratio=ours / floor, bound=0, holds=True, unit="items/s")


MEASURED = Measured(
    {
        each.name: each
        for each in (
            result(capacity.INGEST, 2_000, 4_000),
            result(capacity.GROWTH, 1_000, 1_000 / 0.64),  # 0.8 for each tenfold
            result(capacity.CRAWL, 500, 500),
            result(capacity.POSTGRESQL, 900, 600),
            result(capacity.ELASTICSEARCH, 800, 1_000),
            result(capacity.ELASTICSEARCH_SEARCH, 4_000, 400),
            *(result(name, 100, 200) for name in (*capacity.REQUESTS.values(), capacity.LOGINS, capacity.CHECKS)),
        )
    }
)


def test_a_processor_is_as_fast_as_the_slower_engine_and_sqlite_has_one() -> None:
    of_books = {row[0]: row[1:] for row in by_books(MEASURED)}
    assert of_books["1,000,000"] == ("12", "1", "800 *", "yes *", "0.3 h *", "1 *")
    # 1,157 items/s: one on SQLite would do 512, 0.33 of what it does at 1,000 books; twelve of 0.33 * 600 at half load
    assert of_books["100,000,000"] == ("1,157", "5 *", "512 *", "no *", "54.3 h *", "12 *")


def test_replicas_are_loaded_by_half_and_more_than_one_is_extrapolated() -> None:
    of_rates = {row[0]: row[1:] for row in by_rate(MEASURED)}
    assert of_rates["predictions"] == ("1", "20 *", "200 *")
    assert of_rates["searches on Elasticsearch, each another"] == ("1", "5 *", "50 *")
    assert of_rates["searches on Elasticsearch that repeat"] == ("1", "1", "5 *")

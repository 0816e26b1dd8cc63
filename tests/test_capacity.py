"""The calculation of the capacity tables, with round figures."""

from benchmarks import capacity
from benchmarks.capacity import MeasuredRates, by_books, by_rate
from benchmarks.results import Result


def result(name: str, ours: float, floor: float) -> Result:
    return Result(name=name, ours=ours, floor=floor, ratio=ours / floor, bound=0, holds=True, unit="items/s")


MEASURED = MeasuredRates(
    {
        entry.name: entry
        for entry in (
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


def test_a_processor_is_as_fast_as_its_slower_engine() -> None:
    rows = {row[0]: row[1:] for row in by_books(MEASURED)}
    assert rows["1,000,000"] == ("12", "1", "800 *", "yes *", "0.3 h *", "1 *")
    # 1,157 items/s are needed. A processor on SQLite reaches 512, which is 0.33 of its rate at 1,000 books. On
    # PostgreSQL and Elasticsearch a processor reaches 0.33 * 600, so twelve are needed at half load.
    assert rows["100,000,000"] == ("1,157", "5 *", "512 *", "no *", "54.3 h *", "12 *")


def test_replicas_are_planned_at_half_load_and_several_are_extrapolated() -> None:
    rows = {row[0]: row[1:] for row in by_rate(MEASURED)}
    assert rows["predictions"] == ("1", "20 *", "200 *")
    assert rows["distinct searches on Elasticsearch"] == ("1", "5 *", "50 *")
    assert rows["repeated searches on Elasticsearch"] == ("1", "1", "5 *")

"""Compute facets and statistics independent of the engine: order, bucket widths and public values."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from bookwheel_stores.search.fields import FIELD_KINDS, NUMERIC_SCALES, FieldKind
from bookwheel_stores.search.queries import (
    Bucket,
    Filter,
    MoneyStatistics,
    NumericFacet,
    Range,
    Statistics,
    TermCount,
    TermFacet,
)

Aggregation = Mapping[str, Any]
"""The result of an aggregation, with the same JSON in Tantivy and Elasticsearch."""
COUNTED_TERMS = 1_000
"""Above the number of shown values, so that ties at the end are ordered by value."""
MAX_TERMS = 60_000
"""Tantivy rejects results of more than 65,000 buckets."""
_SHOWN_TERMS = 100
_BUCKETS = 10
_MIN_WIDTHS = {"price": 100, "rating": 10}  # fractions of the public unit: a cent, a tenth
_CENT = Decimal("0.01")


def filter_of(filters: Iterable[Filter], name: str) -> Filter:
    """Return the first filter of a field, or an empty filter."""
    return next((item for item in filters if item.name == name), Filter(name))


def ordered_counts(name: str, aggregation: Aggregation) -> list[TermCount]:
    """Return the counts of a terms aggregation, by descending count and then by value."""
    key = "key_as_string" if FIELD_KINDS[name] is FieldKind.BOOLEAN else "key"
    counts = [TermCount(str(bucket[key]), int(bucket["doc_count"])) for bucket in aggregation["buckets"]]
    return sorted(counts, key=lambda item: (-item.count, item.value))


def term_facet(counts: Sequence[TermCount], selected_values: Sequence[str]) -> TermFacet:
    """Return the facet with the first of the ordered counts, and all selected values."""
    shown = list(counts[:_SHOWN_TERMS])
    if selected_values:
        marked = [TermCount(item.value, item.count, item.value in selected_values) for item in counts]
        counted = {item.value for item in counts}
        absent = [
            TermCount(value, 0, selected=True) for value in dict.fromkeys(selected_values) if value not in counted
        ]
        shown = [*marked[:_SHOWN_TERMS], *(item for item in marked[_SHOWN_TERMS:] if item.selected), *absent]
    return TermFacet(tuple(shown))


def main_currency(buckets: Iterable[Aggregation]) -> Aggregation | None:
    """Return the bucket of the most frequent currency; None without buckets."""
    return min(buckets, key=lambda bucket: (-int(bucket["doc_count"]), str(bucket["key"])), default=None)


def histogram_counts(buckets: Iterable[Aggregation], width: int) -> Mapping[int, int]:
    """Return the number of books by `value // width`. Buckets may be narrower than `width`."""
    counts = Counter[int]()
    for bucket in buckets:
        counts[int(bucket["key"]) // width] += int(bucket["doc_count"])
    return counts


def empty_facet(ranges: tuple[Range, ...]) -> NumericFacet:
    return NumericFacet(0, None, None, None, (), ranges)


def numeric_facet(
    name: str, stats: Aggregation, width: int, counts: Mapping[int, int], facet_filter: Filter, currency: str | None
) -> NumericFacet:
    """Compute a facet from a stats aggregation in index units and the number of books by `value // width`."""
    low, high = int(stats["min"]), int(stats["max"])
    histogram = tuple(
        [
            Bucket(start, end, counts.get(index, 0))
            for index, start, end in _bucket_bounds(name, width, low // width, high // width)
        ]
    )
    return NumericFacet(
        int(stats["count"]),
        to_public(name, low),
        to_public(name, high),
        average(name, stats),
        histogram,
        facet_filter.ranges,
        currency,
    )


@lru_cache(maxsize=1024)
def _bucket_bounds(
    name: str, width: int, first: int, last: int
) -> Sequence[tuple[int, Decimal | float, Decimal | float]]:
    return [
        (index, to_public(name, index * width), to_public(name, (index + 1) * width))
        for index in range(first, last + 1)
    ]


def min_width(name: str) -> int:
    return max(NUMERIC_SCALES[name] // _MIN_WIDTHS.get(name, 1), 1)


def bucket_width(name: str, low: int, high: int) -> int:
    """Return the width in index units for at most eleven buckets: 1, 2 or 5 times a power of ten times the minimum."""
    required = max((high - low) / _BUCKETS, 1)
    minimum = min_width(name)
    magnitude: int = minimum * 10 ** max(math.floor(math.log10(required / minimum)), 0)
    return next((step * magnitude for step in (1, 2, 5) if step * magnitude >= required), 10 * magnitude)


@lru_cache(maxsize=8192)
def to_public(name: str, units: int) -> Decimal | float:
    if FIELD_KINDS[name] is FieldKind.MONEY:
        return to_money(Decimal(units) / NUMERIC_SCALES[name])
    return units if NUMERIC_SCALES[name] == 1 else units / NUMERIC_SCALES[name]


def to_money(amount: Decimal) -> Decimal:
    """Round to two decimal places, or to four if two would change the amount."""
    cents = amount.quantize(_CENT)
    return cents if cents == amount else amount.quantize(Decimal("0.0001"))


def average(name: str, stats: Aggregation) -> Decimal | float:
    mean = Decimal(int(stats["sum"])) / int(stats["count"]) / NUMERIC_SCALES[name]
    return mean.quantize(_CENT) if FIELD_KINDS[name] is FieldKind.MONEY else round(float(mean), 6)


def compute_statistics(
    response: Aggregation,
    *,
    books: int,
    in_stock: int,
    category: str | None,
    median: Callable[[str, int], Decimal | None],
) -> Statistics:
    """Compute statistics from the aggregations `rating` and `prices` (`amounts` by currency).

    `median` returns the median of a currency with this number of prices. None omits the currency.
    """
    prices: list[MoneyStatistics] = []
    for bucket in sorted(response["prices"]["buckets"], key=lambda bucket: str(bucket["key"])):
        currency, amounts = str(bucket["key"]), bucket["amounts"]
        count = int(amounts["count"])
        median_amount = median(currency, count)
        if median_amount is not None:
            low, high = (to_money(Decimal(int(amounts[bound])) / NUMERIC_SCALES["price"]) for bound in ("min", "max"))
            mean = Decimal(str(average("price", amounts)))
            prices.append(MoneyStatistics(currency, count, low, high, mean, median_amount))
    rating = response["rating"]
    rated = int(rating["count"])
    rating_average = float(average("rating", rating)) if rated else None
    return Statistics(books, in_stock, rated, rating_average, tuple(prices), category)


def median_price(middle_cents: Sequence[int]) -> Decimal:
    """Compute the median from the one or two middle prices in cents."""
    return (Decimal(sum(middle_cents)) / len(middle_cents) / 100).quantize(_CENT)

"""Compute exact statistics of the matching books with aggregations of Elasticsearch."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from bookwheel_stores.search.elasticsearch.mapping import sort_field
from bookwheel_stores.search.facets import COUNTED_TERMS, Aggregation, compute_statistics, median_price
from bookwheel_stores.search.queries import Statistics

Aggregate = Callable[[dict[str, Any]], Aggregation]
"""Sends aggregations over the selected books and returns their results."""

_CATEGORIES_PER_PAGE = 500
_PRICES_PER_PAGE = 10_000
_PRICE = sort_field("price")
_STATISTICS: dict[str, Any] = {
    "in_stock": {"filter": {"term": {"in_stock": True}}},
    "rating": {"stats": {"field": "rating"}},
    "prices": {
        "terms": {"field": "currency", "size": COUNTED_TERMS},
        "aggs": {"amounts": {"stats": {"field": "price"}}},
    },
}
Medians = Mapping[tuple[str | None, str], Decimal]
"""Median prices by category and currency. The category None stands for all books."""


def overall(aggregate: Aggregate) -> Statistics:
    response = aggregate({"books": {"value_count": {"field": "number"}}, **_STATISTICS})
    return _statistics(response, int(response["books"]["value"]), None, _medians(aggregate, by_category=False))


def by_category(aggregate: Aggregate) -> list[Statistics]:
    medians = _medians(aggregate, by_category=True)
    buckets = _composite(aggregate, ["category"], size=_CATEGORIES_PER_PAGE, aggregations=_STATISTICS)
    return [
        _statistics(bucket, int(bucket["doc_count"]), str(bucket["key"]["category"]), medians) for bucket in buckets
    ]


def _statistics(response: Aggregation, books: int, category: str | None, medians: Medians) -> Statistics:
    return compute_statistics(
        response,
        books=books,
        in_stock=int(response["in_stock"]["doc_count"]),
        category=category,
        median=lambda currency, _: medians.get((category, currency)),
    )


def _medians(aggregate: Aggregate, *, by_category: bool) -> Medians:
    """Count every price in whole cents, because percentiles of Elasticsearch are estimates."""
    names = [*(["category"] if by_category else []), "currency", _PRICE]
    counts: dict[tuple[str | None, str], list[tuple[int, int]]] = defaultdict(list)
    for bucket in _composite(aggregate, names, size=_PRICES_PER_PAGE, aggregations={}):
        key = bucket["key"]
        counts[key.get("category"), key["currency"]].append((int(key[_PRICE]), int(bucket["doc_count"])))
    return {group: _median(group_counts) for group, group_counts in counts.items()}


def _median(counts: list[tuple[int, int]]) -> Decimal:
    """Compute the median from ascending prices in cents and the number of books per price."""
    total = sum(count for _, count in counts)
    return median_price([_nth(counts, (total - 1) // 2), _nth(counts, total // 2)])


def _nth(counts: list[tuple[int, int]], index: int) -> int:
    for cents, count in counts:
        index -= count
        if index < 0:
            return cents
    raise ValueError("there are fewer prices")


def _composite(
    aggregate: Aggregate, names: list[str], *, size: int, aggregations: dict[str, Any]
) -> Iterator[Aggregation]:
    """Yield the buckets of all combinations of the values of the fields, ascending."""
    composite: dict[str, Any] = {"size": size, "sources": [{name: {"terms": {"field": name}}} for name in names]}
    while True:
        response = aggregate({"groups": {"composite": composite, "aggs": aggregations}})["groups"]
        yield from response["buckets"]
        if len(response["buckets"]) < size:
            return
        composite = {**composite, "after": response["after_key"]}

"""Figures of a selection of books, from Elasticsearch's aggregations. Nothing here is an estimate."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

from bookwheel_stores.search.number_units import SCALES
from bookwheel_stores.search.queries import MoneyStatistics, Statistics
from bookwheel_stores.search.tantivy.facets import COUNTED_TERMS, average, money

Answer = Mapping[str, Any]
Aggregate = Callable[[dict[str, Any]], Answer]
"""Sends aggregations over the selected books and returns the answers' `aggregations`."""

_CATEGORIES = 500  # a page, each with its figures by currency
_PRICES = 10_000
_FIGURES: dict[str, Any] = {
    "in_stock": {"filter": {"term": {"in_stock": True}}},
    "rating": {"stats": {"field": "rating"}},
    "prices": {
        "terms": {"field": "currency", "size": COUNTED_TERMS},
        "aggs": {"amounts": {"stats": {"field": "price"}}},
    },
}
Medians = Mapping[tuple[str | None, str], Decimal]


def overall(aggregate: Aggregate) -> Statistics:
    answer = aggregate({"books": {"value_count": {"field": "number"}}, **_FIGURES})
    return _statistics(answer, int(answer["books"]["value"]), None, _medians(aggregate, by_category=False))


def by_category(aggregate: Aggregate) -> list[Statistics]:
    medians = _medians(aggregate, by_category=True)
    pages = _composite(aggregate, ["category"], size=_CATEGORIES, figures=_FIGURES)
    return [_statistics(each, int(each["doc_count"]), str(each["key"]["category"]), medians) for each in pages]


def _statistics(answer: Answer, books: int, category: str | None, medians: Medians) -> Statistics:
    rated = int(answer["rating"]["count"])
    rating = float(average("rating", answer["rating"])) if rated else None
    prices = tuple(
        MoneyStatistics(
            currency=str(bucket["key"]),
            count=int(bucket["amounts"]["count"]),
            low=money(Decimal(int(bucket["amounts"]["min"])) / SCALES["price"]),
            high=money(Decimal(int(bucket["amounts"]["max"])) / SCALES["price"]),
            average=Decimal(str(average("price", bucket["amounts"]))),
            median=medians[category, str(bucket["key"])],
        )
        for bucket in sorted(answer["prices"]["buckets"], key=lambda each: str(each["key"]))
        if (category, str(bucket["key"])) in medians
    )
    return Statistics(books, int(answer["in_stock"]["doc_count"]), rated, rating, prices, category)


def _medians(aggregate: Aggregate, *, by_category: bool) -> Medians:
    """The middle of the prices in whole cents, counted price by price: Elasticsearch's percentiles are estimates."""
    names = [*(["category"] if by_category else []), "currency", "by_price"]
    counts: dict[tuple[str | None, str], list[tuple[int, int]]] = defaultdict(list)
    for bucket in _composite(aggregate, names, size=_PRICES, figures={}):
        key = bucket["key"]
        counts[key.get("category"), key["currency"]].append((int(key["by_price"]), int(bucket["doc_count"])))
    return {group: _median(found) for group, found in counts.items()}


def _median(counts: list[tuple[int, int]]) -> Decimal:
    """`counts` are cents, ascending, and how many have that price."""
    total = sum(count for _, count in counts)
    middle = [_nth(counts, (total - 1) // 2), _nth(counts, total // 2)]
    return (Decimal(sum(middle)) / 2 / 100).quantize(Decimal("0.01"))


def _nth(counts: list[tuple[int, int]], place: int) -> int:
    for cents, count in counts:
        place -= count
        if place < 0:
            return cents
    raise ValueError("there are fewer prices")


def _composite(aggregate: Aggregate, names: list[str], *, size: int, figures: dict[str, Any]) -> Iterator[Answer]:
    """Every combination of the fields' values, ascending."""
    wanted: dict[str, Any] = {"size": size, "sources": [{name: {"terms": {"field": name}}} for name in names]}
    while True:
        found = aggregate({"pages": {"composite": wanted, "aggs": figures}})["pages"]
        yield from found["buckets"]
        if len(found["buckets"]) < size:
            return
        wanted = {**wanted, "after": found["after_key"]}

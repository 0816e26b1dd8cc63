"""Figures of a selection of books, by Tantivy's aggregations."""

from collections.abc import Iterable, Sequence
from decimal import Decimal

import tantivy
from tantivy import Order, Query

from bookwheel_stores.search.number_units import SCALES
from bookwheel_stores.search.queries import Filter, MoneyStatistics, Selection, Statistics
from bookwheel_stores.search.tantivy.facets import (
    COUNTED_TERMS,
    MAX_TERMS,
    Answer,
    Request,
    average,
    both,
    money,
    terms_request,
)
from bookwheel_stores.search.tantivy.queries import QueryCompiler, count_of
from bookwheel_stores.search.tantivy.schema import NUMBER_BITS, SORT_FIELDS

_STATISTICS: Request = {
    "in_stock": {"terms": {"field": "in_stock"}},
    "rating": {"stats": {"field": "rating"}},
    "prices": terms_request("currency", size=COUNTED_TERMS) | {"aggs": {"amounts": {"stats": {"field": "price"}}}},
}
_BUCKETS_OF_ONE = 3  # of one category's answer, beside one for each currency: its own, in stock, not in stock


class StatisticsCounter:
    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler, selection: Selection) -> None:
        self._searcher = searcher
        self._compiler = compiler
        self._selected = compiler.selection(selection)

    def overall(self) -> Statistics:
        books = count_of(self._searcher.search(self._selected, 1))
        return self._statistics(self._searcher.aggregate(self._selected, _STATISTICS), books, self._selected, None)

    def by_category(self, names: Sequence[str], *, limit: int, currencies: int) -> list[Statistics]:
        """Of the first `limit` of all categories, `names`; a book's price is in one of so many `currencies`."""
        at_once = MAX_TERMS // (_BUCKETS_OF_ONE + currencies)
        if len(names) <= min(limit, at_once):
            return self._of_categories(self._selected, len(names))
        ordered = sorted(names[:limit])
        found = []
        for start in range(0, len(ordered), at_once):
            some = Filter("category", values=tuple(ordered[start : start + at_once]))
            query = both(self._selected, self._compiler.selection(Selection(filters=(some,))))
            found += self._of_categories(query, at_once)
        return found

    def _of_categories(self, query: Query, most: int) -> list[Statistics]:
        """Of all categories that the query's books have, at most so many, ascending."""
        grouped = terms_request("category", size=max(most, 1)) | {"aggs": _STATISTICS}
        answer = self._searcher.aggregate(query, {"categories": grouped})["categories"]
        return [
            self._statistics(
                bucket,
                int(bucket["doc_count"]),
                both(self._selected, self._compiler.term("category", bucket["key"])),
                str(bucket["key"]),
            )
            for bucket in sorted(answer["buckets"], key=lambda each: str(each["key"]))
        ]

    def _statistics(self, answer: Answer, books: int, query: Query, category: str | None) -> Statistics:
        in_stock = sum(int(each["doc_count"]) for each in answer["in_stock"]["buckets"] if each["key"])
        rated = int(answer["rating"]["count"])
        rating = float(average("rating", answer["rating"])) if rated else None
        prices = tuple(self._prices(query, answer["prices"]["buckets"]))
        return Statistics(books, in_stock, rated, rating, prices, category)

    def _prices(self, query: Query, buckets: Iterable[Answer]) -> Iterable[MoneyStatistics]:
        for bucket in sorted(buckets, key=lambda each: str(each["key"])):
            amounts, currency = bucket["amounts"], str(bucket["key"])
            count = int(amounts["count"])
            yield MoneyStatistics(
                currency=currency,
                count=count,
                low=money(Decimal(int(amounts["min"])) / SCALES["price"]),
                high=money(Decimal(int(amounts["max"])) / SCALES["price"]),
                average=Decimal(str(average("price", amounts))),
                median=self._median(both(query, self._compiler.term("currency", currency)), count),
            )

    def _median(self, query: Query, count: int) -> Decimal:
        """Of all prices, in whole cents: Tantivy's percentiles are estimates, its order by price is not."""
        middle = self._searcher.search(
            query,
            2 - count % 2,
            count=False,
            offset=(count - 1) // 2,
            order_by_field=SORT_FIELDS["price"],
            order=Order.Asc,
        )
        cents = [int(key) >> NUMBER_BITS for key, _ in middle.hits]
        return (Decimal(sum(cents)) / len(cents) / 100).quantize(Decimal("0.01"))

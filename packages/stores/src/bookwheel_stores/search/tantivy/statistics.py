"""Compute exact statistics of the matching books with aggregations of Tantivy."""

from collections.abc import Sequence
from decimal import Decimal

import tantivy
from tantivy import Order, Query

from bookwheel_stores.search.facets import COUNTED_TERMS, MAX_TERMS, Aggregation, compute_statistics, median_price
from bookwheel_stores.search.fields import NUMBER_BITS
from bookwheel_stores.search.queries import Filter, SearchCriteria, Sort, Statistics
from bookwheel_stores.search.tantivy.facets import Request, terms_request
from bookwheel_stores.search.tantivy.queries import QueryCompiler, both, total_of
from bookwheel_stores.search.tantivy.schema import sort_key_field

_STATISTICS: Request = {
    "in_stock": {"terms": {"field": "in_stock"}},
    "rating": {"stats": {"field": "rating"}},
    "prices": terms_request("currency", size=COUNTED_TERMS) | {"aggs": {"amounts": {"stats": {"field": "price"}}}},
}
_BUCKETS_PER_CATEGORY = 3  # the category, in stock, not in stock; plus one per currency


class StatisticsCounter:
    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler, criteria: SearchCriteria) -> None:
        self._searcher = searcher
        self._compiler = compiler
        self._query = compiler.compile(criteria)

    def overall(self) -> Statistics:
        books = total_of(self._searcher.search(self._query, 1))
        return self._statistics(self._searcher.aggregate(self._query, _STATISTICS), books, self._query, None)

    def by_category(self, names: Sequence[str], *, limit: int, currencies: int) -> list[Statistics]:
        """Return statistics of the first `limit` categories. `names` must have all categories if there are fewer.

        `currencies` is the number of currencies in the index. It limits the number of categories per request.
        """
        batch_size = MAX_TERMS // (_BUCKETS_PER_CATEGORY + currencies)
        if len(names) <= min(limit, batch_size):
            return self._of_categories(self._query, len(names))
        ordered = sorted(names[:limit])
        statistics = []
        for start in range(0, len(ordered), batch_size):
            batch = Filter("category", values=tuple(ordered[start : start + batch_size]))
            query = both(self._query, self._compiler.compile(SearchCriteria(filters=(batch,))))
            statistics += self._of_categories(query, batch_size)
        return statistics

    def _of_categories(self, query: Query, limit: int) -> list[Statistics]:
        aggregation = terms_request("category", size=max(limit, 1)) | {"aggs": _STATISTICS}
        response = self._searcher.aggregate(query, {"categories": aggregation})["categories"]
        return [
            self._statistics(
                bucket,
                int(bucket["doc_count"]),
                both(self._query, self._compiler.term("category", bucket["key"])),
                str(bucket["key"]),
            )
            for bucket in sorted(response["buckets"], key=lambda bucket: str(bucket["key"]))
        ]

    def _statistics(self, response: Aggregation, books: int, query: Query, category: str | None) -> Statistics:
        in_stock = sum(int(bucket["doc_count"]) for bucket in response["in_stock"]["buckets"] if bucket["key"])
        return compute_statistics(
            response,
            books=books,
            in_stock=in_stock,
            category=category,
            median=lambda currency, count: self._median(both(query, self._compiler.term("currency", currency)), count),
        )

    def _median(self, query: Query, count: int) -> Decimal:
        """Read the middle prices in sort order, because percentiles of Tantivy are estimates."""
        middle_prices = self._searcher.search(
            query,
            2 - count % 2,
            count=False,
            offset=(count - 1) // 2,
            order_by_field=sort_key_field(Sort.PRICE),
            order=Order.Asc,
        )
        return median_price([int(key) >> NUMBER_BITS for key, _ in middle_prices.hits])

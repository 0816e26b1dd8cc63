"""Paginate search results with cursors.

Most orders have a unique, ascending key field, so the next page is a range query at any depth. Title keys are not
unique, so ties are read and sorted here. Tantivy cannot filter by score. A score cursor therefore contains the rank of
the first book with that score. If the index changed, a binary search finds the rank again.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tantivy
from tantivy import Order, Query

from bookwheel_stores.search.fields import MAX_NUMBER
from bookwheel_stores.search.queries import Position, SearchQuery, Sort
from bookwheel_stores.search.tantivy.queries import QueryCompiler, numbers_of, total_of
from bookwheel_stores.search.tantivy.schema import TITLE_KEY_FIELDS, sort_key_field

_EXTRA_ROWS = 16  # read after a page, usually enough to complete the ties at its end


class BookAddress(NamedTuple):
    """The number of a book and the address of its document in this commit of the index."""

    number: int
    address: tantivy.DocAddress


@dataclass(frozen=True, slots=True)
class SortedPage:
    """The books of a page, the number of all matching books, and the position after the page."""

    books: list[BookAddress]
    total: int
    next: Position | None


class _Row(NamedTuple):
    """A book sorted by `value` and then by `number`. `primary` is the part of the value that Tantivy sorts by."""

    value: tuple[float, ...]
    number: int
    address: tantivy.DocAddress

    @property
    def primary(self) -> float:
        return self.value[0]

    def sort_key(self) -> tuple[tuple[float, ...], int]:
        return self.value, self.number


def _addresses(rows: list[_Row]) -> list[BookAddress]:
    return [BookAddress(row.number, row.address) for row in rows]


class Paginator:
    """Reads pages of one commit of the index."""

    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler) -> None:
        self._searcher = searcher
        self._compiler = compiler

    def page(self, query: SearchQuery) -> SortedPage:
        is_scored = query.sort is Sort.RELEVANCE and query.criteria.text is not None
        base_query = self._compiler.compile(query.criteria, scored=is_scored)
        if query.sort is Sort.TITLE:
            return self._by_title(base_query, query.limit, query.after)
        if is_scored:
            return self._by_score(base_query, query.limit, query.after)
        return self._by_key(base_query, sort_key_field(query.sort), query.limit, query.after)

    def _by_key(self, base_query: Query, field: str, limit: int, after: Position | None) -> SortedPage:
        remaining = (
            base_query if after is None else self._compiler.with_minimum(base_query, field, int(after.value[0]) + 1)
        )
        result = self._searcher.search(remaining, limit + 1, order_by_field=field, order=Order.Asc)
        total = total_of(result if after is None else self._searcher.search(base_query, 1))
        hits = result.hits[:limit]
        next_position = None
        if len(result.hits) > limit:
            key = int(hits[-1][0])  # the sort value and, in the lower bits, the book number
            next_position = Position((key,), key & MAX_NUMBER, 0)
        return SortedPage([BookAddress(int(key) & MAX_NUMBER, address) for key, address in hits], total, next_position)

    def _by_title(self, base_query: Query, limit: int, after: Position | None) -> SortedPage:
        remaining = base_query
        if after is not None:
            remaining = self._compiler.with_minimum(base_query, TITLE_KEY_FIELDS[0], int(after.value[0]))
        reader = _RowReader(self._searcher, remaining, by_title=True)
        rows, next_position = _read_page(reader, 0, limit, after)
        total = reader.total if after is None else total_of(self._searcher.search(base_query, 1))
        return SortedPage(_addresses(rows), total, next_position)

    def _by_score(self, base_query: Query, limit: int, after: Position | None) -> SortedPage:
        reader = _RowReader(self._searcher, base_query, by_title=False)
        start = 0 if after is None else _find_rank(reader, after, limit + 1 + _EXTRA_ROWS)
        rows, next_position = _read_page(reader, start, limit, after)
        return SortedPage(_addresses(rows), reader.total, next_position)


class _RowReader:
    """Reads the rows of a query in the order of Tantivy. Caches the latest rows."""

    def __init__(self, searcher: tantivy.Searcher, query: Query, *, by_title: bool) -> None:
        self._searcher = searcher
        self._query = query
        self._by_title = by_title
        self._offset = 0
        self._rows: list[_Row] = []
        self._requested = 0
        self.size = searcher.num_docs
        self.total = 0

    def rows(self, offset: int, count: int, *, prefetch: int = 0) -> list[_Row]:
        """Return up to `count` rows from the rank `offset`. Read `prefetch` more rows if they are not cached."""
        if not self._is_cached(offset, count):
            self._read(offset, count + prefetch)
        start = offset - self._offset
        return self._rows[start : start + count]

    def _is_cached(self, offset: int, count: int) -> bool:
        end = self._offset + len(self._rows)
        is_last = len(self._rows) < self._requested
        return self._requested > 0 and self._offset <= offset and (offset + count <= end or is_last)

    def _read(self, offset: int, count: int) -> None:
        field, weight = (TITLE_KEY_FIELDS[0], None) if self._by_title else (None, "weight")
        order = Order.Asc if self._by_title else Order.Desc
        result = self._searcher.search(
            self._query, count, order_by_field=field, offset=offset, order=order, weight_by_field=weight
        )
        addresses = [address for _, address in result.hits]
        numbers = numbers_of(self._searcher, addresses)
        values: list[tuple[float, ...]] = [(-score,) for score, _ in result.hits]
        if self._by_title:
            keys = [self._searcher.fast_field_values(key, addresses) for key in TITLE_KEY_FIELDS]
            values = [tuple(int(part or 0) for part in parts) for parts in zip(*keys, strict=True)]
        self._offset, self._requested, self.total = offset, count, total_of(result)
        self._rows = [_Row(*row) for row in zip(values, numbers, addresses, strict=True)]


def _read_page(
    reader: _RowReader, start: int, limit: int, after: Position | None
) -> tuple[list[_Row], Position | None]:
    """Return up to `limit` rows after a position. `start` is the rank of the first row with the same value."""
    count = limit + 1 + _EXTRA_ROWS
    while True:
        rows_read = reader.rows(start, count)
        is_end = len(rows_read) < count
        complete_ties = rows_read
        if not is_end:
            complete_ties = [row for row in rows_read if row.primary != rows_read[-1].primary]
        rows = sorted(complete_ties, key=_Row.sort_key)
        if after is not None:
            rows = [row for row in rows if row.sort_key() > (after.value, after.number)]
        if is_end or len(rows) > limit:
            break
        count *= 4
    if len(rows) <= limit:
        return rows, None
    last = rows[limit - 1]
    rank = start + next(index for index, row in enumerate(rows_read) if row.primary == last.primary)
    return rows[:limit], Position(last.value, last.number, rank)


def _find_rank(reader: _RowReader, after: Position, prefetch: int) -> int:
    """Return the number of rows with a primary value before the value of the cursor."""

    def is_before(rank: int, *, prefetch: int = 0) -> bool:
        rows = reader.rows(rank, 1, prefetch=prefetch)
        return bool(rows) and rows[0].primary < after.value[0]

    hint = min(after.rank, reader.size)  # Tantivy allocates memory for every skipped row
    if (hint == 0 or is_before(hint - 1, prefetch=prefetch + 1)) and not is_before(hint, prefetch=prefetch):
        return hint
    low, high = 0, reader.total
    while low < high:
        middle = (low + high) // 2
        if is_before(middle):
            low = middle + 1
        else:
            high = middle
    return low

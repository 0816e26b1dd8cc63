"""Pages of a total order, each found from the last book of the one before.

Most orders have a key field, unique and ascending: the next page is a range query, however deep. Titles have one that
is not unique, so ties are fetched and ordered here. Scores have no field to filter by: a cursor carries the rank where
its score starts, which is verified against the index as it is now, and found by bisection where the index has changed.
"""

from dataclasses import dataclass
from typing import NamedTuple

import tantivy
from tantivy import Order, Query

from bookwheel_stores.search.queries import Position, SearchQuery, Sort
from bookwheel_stores.search.tantivy.queries import QueryCompiler, count_of, numbers_of
from bookwheel_stores.search.tantivy.schema import NUMBER_MASK, SORT_FIELDS, TITLE_KEYS

_TIES = 16  # books fetched beyond a page, so that ties at its end are whole: more than a page's end has in practice


class Place(NamedTuple):
    """Where a book is in this commit of the index."""

    number: int
    address: tantivy.DocAddress


@dataclass(frozen=True, slots=True)
class Walk:
    """One page: its books, how many books the whole order has, and where the next page starts."""

    books: list[Place]
    total: int
    next: Position | None


class _Row(NamedTuple):
    """A book in an order by `value` and then by `number`; `primary` is the part of the value that Tantivy orders by."""

    value: tuple[float, ...]
    number: int
    address: tantivy.DocAddress

    @property
    def primary(self) -> float:
        return self.value[0]

    def place(self) -> tuple[tuple[float, ...], int]:
        return self.value, self.number


def _places(rows: list[_Row]) -> list[Place]:
    return [Place(row.number, row.address) for row in rows]


def _behind(rows: list[_Row], after: Position | None) -> list[_Row]:
    return rows if after is None else [row for row in rows if row.place() > (after.value, after.number)]


class Walker:
    """Walks one commit of the index."""

    def __init__(self, searcher: tantivy.Searcher, compiler: QueryCompiler) -> None:
        self._searcher = searcher
        self._compiler = compiler

    def page(self, query: SearchQuery) -> Walk:
        sort, after = query.sort, query.after
        is_scored = sort is Sort.RELEVANCE and query.selection.text is not None
        selected = self._compiler.selection(query.selection, scored=is_scored)
        if sort is Sort.TITLE:
            return self._by_title(selected, query.limit, after)
        if is_scored:
            return self._by_score(selected, query.limit, after)
        return self._by_key(selected, SORT_FIELDS[Sort.NEWEST if sort is Sort.RELEVANCE else sort], query.limit, after)

    def _by_key(self, selected: Query, field: str, limit: int, after: Position | None) -> Walk:
        wanted = selected if after is None else self._compiler.from_key(selected, field, int(after.value[0]) + 1)
        found = self._searcher.search(wanted, limit + 1, order_by_field=field, order=Order.Asc)
        total = count_of(found if after is None else self._searcher.search(selected, 1))
        hits = found.hits[:limit]
        end = None
        if len(found.hits) > limit:
            key = int(hits[-1][0])
            end = Position((key,), key & NUMBER_MASK, 0)
        return Walk([Place(int(key) & NUMBER_MASK, address) for key, address in hits], total, end)

    def _by_title(self, selected: Query, limit: int, after: Position | None) -> Walk:
        if after is None:
            view = _View(self._searcher, selected, by_title=True)
            rows, end = _page(view, 0, limit, None)
            return Walk(_places(rows), view.total, end)
        later = self._compiler.from_key(selected, TITLE_KEYS[0], int(after.value[0]))
        rows, end = _page(_View(self._searcher, later, by_title=True), 0, limit, after)
        return Walk(_places(rows), count_of(self._searcher.search(selected, 1)), end)

    def _by_score(self, selected: Query, limit: int, after: Position | None) -> Walk:
        view = _View(self._searcher, selected, by_title=False)
        start = 0 if after is None else _rank_of(view, after, limit + 1 + _TIES)
        rows, end = _page(view, start, limit, after)
        return Walk(_places(rows), view.total, end)


class _View:
    """The rows of one query in Tantivy's order, of which a window is kept: those asked for last."""

    def __init__(self, searcher: tantivy.Searcher, selected: Query, *, by_title: bool) -> None:
        self._searcher = searcher
        self._selected = selected
        self._by_title = by_title
        self._offset = 0
        self._rows: list[_Row] = []
        self._asked = 0
        self.size = searcher.num_docs
        self.total = 0

    def has(self, offset: int, count: int) -> bool:
        """Whether all rows from `offset` to `offset + count` that there are lie in the window."""
        end = self._offset + len(self._rows)
        is_last = len(self._rows) < self._asked
        return self._asked > 0 and self._offset <= offset and (offset + count <= end or is_last)

    def rows(self, offset: int, count: int, *, ahead: int = 0) -> list[_Row]:
        """Up to `count` rows from the rank `offset` on; fetches `ahead` more with them, where it has to fetch."""
        if not self.has(offset, count):
            self._fetch(offset, count + ahead)
        start = offset - self._offset
        return self._rows[start : start + count]

    def _fetch(self, offset: int, count: int) -> None:
        field, weight = (TITLE_KEYS[0], None) if self._by_title else (None, "weight")
        order = Order.Asc if self._by_title else Order.Desc
        found = self._searcher.search(
            self._selected, count, order_by_field=field, offset=offset, order=order, weight_by_field=weight
        )
        addresses = [address for _, address in found.hits]
        numbers = numbers_of(self._searcher, addresses)
        values: list[tuple[float, ...]] = [(-score,) for score, _ in found.hits]
        if self._by_title:
            keys = [self._searcher.fast_field_values(key, addresses) for key in TITLE_KEYS]
            values = [tuple(int(part or 0) for part in parts) for parts in zip(*keys, strict=True)]
        self._offset, self._asked, self.total = offset, count, count_of(found)
        self._rows = [_Row(*row) for row in zip(values, numbers, addresses, strict=True)]


def _page(view: _View, start: int, limit: int, after: Position | None) -> tuple[list[_Row], Position | None]:
    """Up to `limit` rows behind `after` among those from the rank `start` on, where its ties start."""
    wanted = limit + 1 + _TIES
    while True:
        window = view.rows(start, wanted)
        ended = len(window) < wanted
        whole = window if ended else [row for row in window if row.primary != window[-1].primary]
        rows = _behind(sorted(whole, key=_Row.place), after)
        if ended or len(rows) > limit:
            break
        wanted *= 4
    if len(rows) <= limit:
        return rows, None
    end = rows[limit - 1]
    rank = start + next(place for place, row in enumerate(window) if row.primary == end.primary)
    return rows[:limit], Position(end.value, end.number, rank)


def _rank_of(view: _View, after: Position, ahead: int) -> int:
    """How many rows stand before the first one whose primary value is not before the cursor's."""

    def is_before(rank: int, *, ahead: int = 0) -> bool:
        row = view.rows(rank, 1, ahead=ahead)
        return bool(row) and row[0].primary < after.value[0]

    hint = min(after.rank, view.size)  # Tantivy allocates as many places as it skips
    if (hint == 0 or is_before(hint - 1, ahead=ahead + 1)) and not is_before(hint, ahead=ahead):
        return hint
    low, high = 0, view.total
    while low < high:
        middle = (low + high) // 2
        if is_before(middle):
            low = middle + 1
        else:
            high = middle
    return low

"""Pages of a total order, each found from the last book of the one before.

Most orders have a key field, unique and ascending: the next page is a range query, however deep. Titles have one that
is not unique, so ties are fetched and ordered here. Scores have no field to filter by: a cursor carries the rank where
its score starts, which is verified against the index as it is now, and found by bisection where the index has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import tantivy
from tantivy import Order, Query

from bookwheel_stores.search.queries import Position, SearchQuery, Sort
from bookwheel_stores.search.tantivy_matches import Matches
from bookwheel_stores.search.tantivy_queries import count_of
from bookwheel_stores.search.tantivy_schema import NUMBER_MASK, SORT_FIELDS, TITLE_KEYS

_TIES = 16  # books fetched beyond a page, so that ties at its end are whole: more than a page's end has in practice


@dataclass(frozen=True, slots=True)
class Walk:
    """One page: where its books are, how many books the whole order has, and where the next page starts."""

    addresses: list[tantivy.DocAddress]
    total: int
    next: Position | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A book in an order by `value` and then by `number`; `primary` is the part of the value that Tantivy orders by."""

    value: tuple[float, ...]
    number: int
    address: tantivy.DocAddress

    @property
    def primary(self) -> float:
        return self.value[0]

    def place(self) -> tuple[tuple[float, ...], int]:
        return self.value, self.number


def _behind(rows: list[_Row], after: Position | None) -> list[_Row]:
    return rows if after is None else [row for row in rows if row.place() > (after.value, after.number)]


class Walker:
    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._searcher = matches.searcher
        self._compiler = matches.compiler

    def page(self, query: SearchQuery) -> Walk:
        selected = self._matches.query(query.selection)
        sort, after = query.sort, query.after
        if sort is Sort.TITLE:
            return self._by_title(selected, query.limit, after)
        if sort is Sort.RELEVANCE and query.selection.text is not None:
            if self._matches.scores is not None:
                return self._by_known_scores(selected, self._matches.scores, query.limit, after)
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
        return Walk([address for _, address in hits], total, end)

    def _by_title(self, selected: Query, limit: int, after: Position | None) -> Walk:
        wanted = selected
        if after is not None:
            wanted = self._compiler.from_key(selected, TITLE_KEYS[0], int(after.value[0]))
        total = count_of(self._searcher.search(selected, 1))
        rows, end = self._whole_ties(wanted, 0, limit, after, by_title=True)
        return Walk([row.address for row in rows], total, end)

    def _by_known_scores(
        self, selected: Query, scores: Mapping[int, float], limit: int, after: Position | None
    ) -> Walk:
        addresses = [address for _, address in self._searcher.search(selected, len(scores) or 1, count=False).hits]
        numbers = self._matches.numbers(addresses)
        rows = [_Row((-scores[number],), number, at) for number, at in zip(numbers, addresses, strict=True)]
        following = _behind(sorted(rows, key=_Row.place), after)
        shown = following[:limit]
        end = None
        if len(following) > limit:
            rank = sum(row.primary < shown[-1].primary for row in rows)
            end = Position(shown[-1].value, shown[-1].number, rank)
        return Walk([row.address for row in shown], len(rows), end)

    def _by_score(self, selected: Query, limit: int, after: Position | None) -> Walk:
        total = count_of(self._searcher.search(selected, 1))
        start = 0 if after is None else self._rank_of(selected, after, total)
        rows, end = self._whole_ties(selected, start, limit, after, by_title=False)
        return Walk([row.address for row in rows], total, end)

    def _whole_ties(
        self, wanted: Query, start: int, limit: int, after: Position | None, *, by_title: bool
    ) -> tuple[list[_Row], Position | None]:
        """Up to `limit` rows behind `after` among those from rank `start` on, where its ties start."""
        fetched = limit + 1 + _TIES
        while True:
            window = self._window(wanted, start, fetched, by_title=by_title)
            ended = len(window) < fetched
            rows = window if ended else [row for row in window if row.primary != window[-1].primary]
            rows = _behind(sorted(rows, key=_Row.place), after)
            if ended or len(rows) > limit:
                break
            fetched *= 4
        if len(rows) <= limit:
            return rows, None
        end = rows[limit - 1]
        rank = start + next(place for place, row in enumerate(window) if row.primary == end.primary)
        return rows[:limit], Position(end.value, end.number, rank)

    def _window(self, wanted: Query, offset: int, count: int, *, by_title: bool) -> list[_Row]:
        field, weight = (TITLE_KEYS[0], None) if by_title else (None, "weight")
        order = Order.Asc if by_title else Order.Desc
        found = self._searcher.search(
            wanted, count, count=False, order_by_field=field, offset=offset, order=order, weight_by_field=weight
        )
        addresses = [address for _, address in found.hits]
        numbers = self._matches.numbers(addresses)
        values: list[tuple[float, ...]] = [(-score,) for score, _ in found.hits]
        if by_title:
            keys = [self._searcher.fast_field_values(key, addresses) for key in TITLE_KEYS]
            values = [tuple(int(part or 0) for part in parts) for parts in zip(*keys, strict=True)]
        return [_Row(*row) for row in zip(values, numbers, addresses, strict=True)]

    def _rank_of(self, selected: Query, after: Position, total: int) -> int:
        """How many books score better than the cursor's book."""

        def better(rank: int) -> bool:
            return self._window(selected, rank, 1, by_title=False)[0].primary < after.value[0]

        hint = after.rank
        if 0 <= hint <= total and (hint == 0 or better(hint - 1)) and (hint == total or not better(hint)):
            return hint
        low, high = 0, total
        while low < high:
            middle = (low + high) // 2
            if better(middle):
                low = middle + 1
            else:
                high = middle
        return low

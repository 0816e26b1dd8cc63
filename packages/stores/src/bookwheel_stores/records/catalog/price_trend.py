"""Computes prices over time from the observations that were current at the end of each interval."""

import heapq
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple

from bookwheel_contracts import Money
from sqlalchemy import Column, ColumnElement, Connection, Row, case, func, literal, select

from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.tables import observation, offer
from bookwheel_stores.records.values import PRICE_DIGITS, from_units, to_millis

Interval = Literal["day", "week", "month"]
MAX_INTERVALS = 400
_CHUNK = 5000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class PricePoint:
    """`time` is the start of the interval. `count` is the number of offers with a price in `currency` at its end."""

    time: datetime
    currency: str
    count: int
    min: Money
    max: Money
    avg: Money


class _Group(NamedTuple):
    """Observations in one currency that are current at the ends of the same intervals: `first` to `end - 1`."""

    first: int
    end: int
    offers: int
    lowest: int
    highest: int
    total: int


def price_trend(
    connection: Connection, *, book_numbers: Sequence[int] | None, interval: Interval, start: datetime, end: datetime
) -> list[PricePoint]:
    """Returns one point per interval and currency, in this order. If `book_numbers` is None, all books count.

    Raises ValueError for more than 400 intervals, or if an interval ends after the year 9999.
    """
    bounds = _interval_bounds(interval, start, end)
    end_times = [to_millis(min(bound, end)) for bound in bounds[1:]]
    groups = _groups(connection, book_numbers, end_times)
    points = [
        (index, currency, point)
        for currency in groups
        for index, point in _points(currency, groups[currency], bounds[:-1])
    ]
    return [point for _, _, point in sorted(points, key=lambda item: item[:2])]


def _groups(
    connection: Connection, book_numbers: Sequence[int] | None, end_times: Sequence[int]
) -> dict[str, list[_Group]]:
    """Groups observations by the intervals in which they are current, in one query for all intervals."""
    first = _count_before(observation.c.observed_at, end_times)
    end = case(
        (observation.c.superseded_at.is_(None), len(end_times)),
        else_=_count_before(observation.c.superseded_at, end_times),
    )
    query = (
        select(
            first.label("first_index"),
            end.label("end_index"),
            observation.c.currency,
            func.count().label("count_"),
            func.min(observation.c.price).label("lowest"),
            func.max(observation.c.price).label("highest"),
            # The sum has two parts, because SQLite raises an error for a sum beyond 64 bits.
            func.sum(observation.c.price // _MILLION).label("millions"),
            func.sum(observation.c.price % _MILLION).label("units"),
        )
        .where(
            observation.c.price.is_not(None),
            observation.c.observed_at <= end_times[-1],
            observation.c.superseded_at.is_(None) | (observation.c.superseded_at > end_times[0]),
        )
        .group_by("first_index", "end_index", observation.c.currency)
    )
    queries = [query]
    if book_numbers is not None:
        joined = query.join(offer, offer.c.number == observation.c.offer_number)
        chunks = (book_numbers[index : index + _CHUNK] for index in range(0, len(book_numbers), _CHUNK))
        queries = [joined.where(dialect_of(connection).in_values(offer.c.book_number, chunk)) for chunk in chunks]
    groups: dict[str, list[_Group]] = defaultdict(list)
    for chunk_query in queries:
        for row in connection.execute(chunk_query):
            if row.first_index < row.end_index:
                groups[row.currency].append(_group(row))
    return groups


def _group(row: Row[Any]) -> _Group:
    total = int(row.millions) * _MILLION + int(row.units)
    return _Group(row.first_index, row.end_index, row.count_, row.lowest, row.highest, total)


def _count_before(column: Column[int], end_times: Sequence[int]) -> ColumnElement[int]:
    """Returns an expression for the number of ascending times before the value of the column, by binary search."""

    def search(low: int, high: int) -> ColumnElement[int]:
        if low == high:
            return literal(low)
        middle = (low + high) // 2
        return case((column <= end_times[middle], search(low, middle)), else_=search(middle + 1, high))

    return search(0, len(end_times))


def _points(currency: str, groups: Sequence[_Group], times: Sequence[datetime]) -> Iterator[tuple[int, PricePoint]]:
    """Computes the points of one currency. Heaps contain the current groups by lowest and highest price."""
    starting: dict[int, list[_Group]] = defaultdict(list)
    ending: dict[int, list[_Group]] = defaultdict(list)
    for group in groups:
        starting[group.first].append(group)
        ending[group.end].append(group)
    lowest: list[tuple[int, int]] = []
    highest: list[tuple[int, int]] = []
    count = total = 0
    for index, time in enumerate(times):
        for group in starting[index]:
            count, total = count + group.offers, total + group.total
            heapq.heappush(lowest, (group.lowest, group.end))
            heapq.heappush(highest, (-group.highest, group.end))
        for group in ending[index]:
            count, total = count - group.offers, total - group.total
        for heap in (lowest, highest):
            while heap and heap[0][1] <= index:
                heapq.heappop(heap)
        if count:
            yield index, _point(time, currency, count, lowest[0][0], -highest[0][0], total)


def _point(time: datetime, currency: str, count: int, lowest: int, highest: int, total: int) -> PricePoint:
    low, high = from_units(lowest, currency), from_units(highest, currency)
    average = (Decimal(total) / count).scaleb(-PRICE_DIGITS).quantize(Decimal("0.01"))
    capped = Money(amount=min(average, high.amount), currency=currency)  # rounding must not exceed the highest price
    return PricePoint(time, currency, count, low, high, capped)


def _interval_bounds(interval: Interval, start: datetime, end: datetime) -> list[datetime]:
    bounds = []
    try:
        for moment in _interval_starts(interval, start.astimezone(UTC)):
            bounds.append(moment)
            if moment > end:
                return bounds
            if len(bounds) > MAX_INTERVALS:
                raise ValueError(f"more than {MAX_INTERVALS} intervals")
    except OverflowError as error:
        raise ValueError("beyond the year 9999") from error
    raise AssertionError("unreachable: the starts never end")


def _interval_starts(interval: Interval, start: datetime) -> Iterator[datetime]:
    moment = start.replace(hour=0, minute=0, second=0, microsecond=0)
    if interval == "week":
        moment -= timedelta(days=moment.weekday())
    if interval == "month":
        moment = moment.replace(day=1)
    while True:
        yield moment
        if interval == "month":
            moment = (moment + timedelta(days=31)).replace(day=1)
        else:
            moment += timedelta(days=7 if interval == "week" else 1)

"""Prices over time, from the observations in force at the end of each interval."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from bookwheel_contracts import Money
from sqlalchemy import Connection, Row, func, select

from bookwheel_stores.records.database.connection import dialect_of
from bookwheel_stores.records.tables import observation, offer
from bookwheel_stores.records.values import PRICE_DIGITS, from_units, to_millis

Interval = Literal["day", "week", "month"]
MAX_INTERVALS = 400
_CHUNK = 5000
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class PricePoint:
    """`time` is the start of the interval; `count` is the number of offers with a price in `currency` at its end."""

    time: datetime
    currency: str
    count: int
    min: Money
    max: Money
    avg: Money


@dataclass(slots=True)
class _Summary:
    count: int
    lowest: int
    highest: int
    total: int

    def add(self, row: Row[Any]) -> None:
        self.count += row.count_
        self.lowest = min(self.lowest, row.lowest)
        self.highest = max(self.highest, row.highest)
        self.total += _total(row)


def price_trend(
    connection: Connection, *, book_numbers: Sequence[int] | None, interval: Interval, start: datetime, end: datetime
) -> list[PricePoint]:
    """One point per interval and currency, in that order.

    Raises ValueError for more than 400 intervals, or for an interval that ends after the year 9999.
    """
    points: list[PricePoint] = []
    for interval_start, interval_end in pairwise(_bounds(interval, start, end)):
        summaries = _summaries(connection, book_numbers, to_millis(min(interval_end, end)))
        points.extend(_point(interval_start, currency, summary) for currency, summary in sorted(summaries.items()))
    return points


def _summaries(connection: Connection, book_numbers: Sequence[int] | None, moment: int) -> dict[str, _Summary]:
    query = (
        select(
            observation.c.currency,
            func.count().label("count_"),
            func.min(observation.c.price).label("lowest"),
            func.max(observation.c.price).label("highest"),
            # Two sums: SQLite fails on a sum beyond 64 bits.
            func.sum(observation.c.price // _MILLION).label("millions"),
            func.sum(observation.c.price % _MILLION).label("units"),
        )
        .where(
            observation.c.price.is_not(None),
            observation.c.observed_at <= moment,
            observation.c.superseded_at.is_(None) | (observation.c.superseded_at > moment),
        )
        .group_by(observation.c.currency)
    )
    queries = [query]
    if book_numbers is not None:
        joined = query.join(offer, offer.c.number == observation.c.offer_number)
        chunks = (book_numbers[start : start + _CHUNK] for start in range(0, len(book_numbers), _CHUNK))
        queries = [joined.where(dialect_of(connection).in_values(offer.c.book_number, chunk)) for chunk in chunks]
    summaries: dict[str, _Summary] = {}
    for chunk_query in queries:
        for row in connection.execute(chunk_query):
            if row.currency in summaries:
                summaries[row.currency].add(row)
            else:
                summaries[row.currency] = _Summary(row.count_, row.lowest, row.highest, _total(row))
    return summaries


def _total(row: Row[Any]) -> int:
    return int(row.millions) * _MILLION + int(row.units)


def _point(time: datetime, currency: str, summary: _Summary) -> PricePoint:
    lowest, highest = from_units(summary.lowest, currency), from_units(summary.highest, currency)
    average = Decimal(summary.total) / summary.count
    hundredths = average.scaleb(-PRICE_DIGITS).quantize(Decimal("0.01"))
    mean = Money(amount=min(hundredths, highest.amount), currency=currency)  # rounding must not leave the range
    return PricePoint(time, currency, summary.count, lowest, highest, mean)


def _bounds(interval: Interval, start: datetime, end: datetime) -> list[datetime]:
    bounds = []
    try:
        for moment in _starts(interval, start.astimezone(UTC)):
            bounds.append(moment)
            if moment > end:
                return bounds
            if len(bounds) > MAX_INTERVALS:
                raise ValueError(f"more than {MAX_INTERVALS} intervals")
    except OverflowError as error:
        raise ValueError("beyond the year 9999") from error
    raise AssertionError("unreachable: time has no end")


def _starts(interval: Interval, start: datetime) -> Iterator[datetime]:
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

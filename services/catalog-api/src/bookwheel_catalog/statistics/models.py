"""API models of statistics. Answers are sent as bytes: tests validate them against these models."""

from typing import Literal

from bookwheel_contracts.model import Contract, Timestamp

from bookwheel_catalog.search.models import Amount, PriceSummary


class RatingSummary(Contract):
    count: int
    average: float | None


class CategoryCount(Contract):
    name: str
    count: int


class CategoryList(Contract):
    """`complete`: whether these are all; else they are those with most books."""

    items: tuple[CategoryCount, ...]
    complete: bool


class ValueCount(Contract):
    value: str
    count: int


class Overview(Contract):
    books: int
    in_stock: int
    categories: int
    authors: int
    sources: tuple[ValueCount, ...]
    rating: RatingSummary
    prices: tuple[PriceSummary, ...]


class CategoryStatistics(Contract):
    category: str
    books: int
    in_stock: int
    rating: RatingSummary
    prices: tuple[PriceSummary, ...]


class CategoryStatisticsList(Contract):
    """`complete`: whether these are all; else they are those with most books."""

    items: tuple[CategoryStatistics, ...]
    complete: bool


class TrendPoint(Contract):
    """`count` offers had a price in `currency` at the end of the interval that begins at `time`."""

    time: Timestamp
    currency: str
    count: int
    min: Amount
    max: Amount
    avg: Amount


class PriceTrend(Contract):
    interval: Literal["day", "week", "month"]
    points: tuple[TrendPoint, ...]


class SuggestionAnswer(Contract):
    text: str
    type: Literal["title", "author", "category"]
    count: int


class SuggestionList(Contract):
    items: tuple[SuggestionAnswer, ...]

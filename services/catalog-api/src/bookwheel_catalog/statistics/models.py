"""API models of statistics. Responses are rendered without these models; tests check that they match."""

from typing import Literal

from bookwheel_contracts.model import Contract, Timestamp

from bookwheel_catalog.search.rendering import Amount, PriceSummary


class RatingSummary(Contract):
    count: int
    average: float | None


class CategoryCount(Contract):
    name: str
    count: int


class CategoryList(Contract):
    """`complete` is false if only the categories with the most books are listed."""

    items: tuple[CategoryCount, ...]
    complete: bool


class ValueCount(Contract):
    value: str
    count: int


class BookStatistics(Contract):
    books: int
    in_stock: int
    rating: RatingSummary
    prices: tuple[PriceSummary, ...]


class Overview(BookStatistics):
    categories: int
    authors: int
    sources: tuple[ValueCount, ...]


class CategoryStatistics(BookStatistics):
    category: str


class CategoryStatisticsList(Contract):
    """`complete` is false if only the categories with the most books are listed."""

    items: tuple[CategoryStatistics, ...]
    complete: bool


class TrendPoint(Contract):
    """Prices in `currency` at the end of the interval that starts at `time`. `count` is the number of offers."""

    time: Timestamp
    currency: str
    count: int
    min: Amount
    max: Amount
    avg: Amount


class PriceTrend(Contract):
    interval: Literal["day", "week", "month"]
    points: tuple[TrendPoint, ...]


class SuggestionItem(Contract):
    text: str
    type: Literal["title", "author", "category"]
    count: int


class SuggestionList(Contract):
    items: tuple[SuggestionItem, ...]

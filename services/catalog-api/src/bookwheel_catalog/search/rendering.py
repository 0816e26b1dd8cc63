"""The JSON parts that book lists and statistics share, and their API models."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

import orjson
from bookwheel_contracts.model import Contract
from bookwheel_stores.search.queries import MoneyStatistics
from pydantic import Field

Amount = Annotated[Decimal, Field(description="A decimal string.")]


class PriceSummary(Contract):
    currency: str
    count: int
    min: Amount
    max: Amount
    avg: Amount
    median: Amount


def dump_json(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, default=_format_decimal)


def render_prices(statistics: Iterable[MoneyStatistics]) -> list[dict[str, Any]]:
    return [
        {
            "currency": prices.currency,
            "count": prices.count,
            "min": prices.low,
            "max": prices.high,
            "avg": prices.average,
            "median": prices.median,
        }
        for prices in statistics
    ]


def _format_decimal(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"type {type(value)} cannot be rendered as JSON")

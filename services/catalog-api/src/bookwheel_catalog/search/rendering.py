"""Renders the JSON parts that book lists and statistics share."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

import orjson
from bookwheel_stores.search.queries import MoneyStatistics


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

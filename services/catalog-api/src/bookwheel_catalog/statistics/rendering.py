"""Renders statistics as JSON."""

from collections.abc import Iterable, Sequence
from typing import Any

from bookwheel_contracts.model import format_time
from bookwheel_stores.records import PricePoint
from bookwheel_stores.search.queries import Statistics, Suggestion, TermCount

from bookwheel_catalog.search.rendering import dump_json, render_prices


def render_overview(statistics: Statistics, *, categories: int, authors: int, sources: Sequence[TermCount]) -> bytes:
    return dump_json(
        {
            **_render_summary(statistics),
            "categories": categories,
            "authors": authors,
            "sources": [{"value": source.value, "count": source.count} for source in sources],
        }
    )


def render_category_statistics(categories: Iterable[Statistics], *, complete: bool) -> bytes:
    items = [{"category": statistics.category, **_render_summary(statistics)} for statistics in categories]
    return dump_json({"items": items, "complete": complete})


def render_categories(counts: Iterable[TermCount], *, complete: bool) -> bytes:
    sorted_counts = sorted(counts, key=lambda term: term.value)
    items = [{"name": term.value, "count": term.count} for term in sorted_counts]
    return dump_json({"items": items, "complete": complete})


def render_suggestions(suggestions: Iterable[Suggestion]) -> bytes:
    items = [
        {"text": suggestion.text, "type": suggestion.kind, "count": suggestion.count} for suggestion in suggestions
    ]
    return dump_json({"items": items})


def render_price_trend(interval: str, points: Iterable[PricePoint]) -> bytes:
    return dump_json(
        {
            "interval": interval,
            "points": [
                {
                    "time": format_time(point.time),
                    "currency": point.currency,
                    "count": point.count,
                    "min": point.min.amount,
                    "max": point.max.amount,
                    "avg": point.avg.amount,
                }
                for point in points
            ],
        }
    )


def _render_summary(statistics: Statistics) -> dict[str, Any]:
    return {
        "books": statistics.books,
        "in_stock": statistics.in_stock,
        "rating": {"count": statistics.rated, "average": statistics.rating_average},
        "prices": render_prices(statistics.prices),
    }

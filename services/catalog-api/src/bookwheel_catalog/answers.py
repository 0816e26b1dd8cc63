"""Makes the JSON of answers from what the index found. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson
from bookwheel_contracts import Book
from bookwheel_contracts.model import format_time
from bookwheel_stores.records import PricePoint
from bookwheel_stores.search.queries import (
    Facet,
    MoneyStatistics,
    NumericFacet,
    Range,
    SearchPage,
    Statistics,
    Suggestion,
    TermCount,
)

LISTED_FIELDS = (
    "id", "title", "authors", "isbn13", "category", "description", "language", "price", "rating", "rating_count",
    "stock", "in_stock", "image_url", "offers", "first_seen", "last_changed", "revision",
)  # fmt: skip


def book_list(
    page: SearchPage, *, following: str | None, fields: Sequence[str] | None, more: Mapping[str, Any] | None = None
) -> bytes:
    """A list of books: their JSON as it lies in the index, joined. `following` is the next page's cursor."""
    items = page.items if fields is None else [chosen(item, fields) for item in page.items]
    rest = orjson.dumps(
        {
            "total": {"value": page.total, "relation": "eq"},
            "facets": {name: _facet(facet) for name, facet in page.facets.items()},
            "next": following,
            **(more or {}),
        },
        default=_decimal,
    )
    return b'{"items":[%b],%b' % (b",".join(items), rest[1:])


def book_detail(book: Book) -> bytes:
    """A book as its own page shows it: with when it and its offers were seen last."""
    hidden_in_offers = {"__all__": {"source_key": True}}
    return book.model_dump_json(exclude={"number": True, "offers": hidden_in_offers}).encode()


def chosen(book: bytes, fields: Sequence[str]) -> bytes:
    """Only these fields of a book's JSON, in this order."""
    whole = orjson.loads(book)
    return orjson.dumps({name: whole[name] for name in fields})


def prices(statistics: Iterable[MoneyStatistics]) -> list[dict[str, Any]]:
    return [
        {
            "currency": each.currency,
            "count": each.count,
            "min": each.low,
            "max": each.high,
            "avg": each.average,
            "median": each.median,
        }
        for each in statistics
    ]


def overview(found: Statistics, *, categories: int, authors: int, sources: Sequence[TermCount]) -> bytes:
    return dump(
        {
            **_summary(found),
            "categories": categories,
            "authors": authors,
            "sources": [{"value": each.value, "count": each.count} for each in sources],
        }
    )


def category_statistics(found: Iterable[Statistics], *, complete: bool) -> bytes:
    return dump({"items": [{"category": each.category, **_summary(each)} for each in found], "complete": complete})


def category_list(counts: Iterable[TermCount], *, complete: bool) -> bytes:
    by_name = sorted(counts, key=lambda each: each.value)
    return dump({"items": [{"name": each.value, "count": each.count} for each in by_name], "complete": complete})


def suggestion_list(found: Iterable[Suggestion]) -> bytes:
    return dump({"items": [{"text": each.text, "type": each.kind, "count": each.count} for each in found]})


def price_trend(interval: str, points: Iterable[PricePoint]) -> bytes:
    return dump(
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


def dump(content: Mapping[str, Any]) -> bytes:
    return orjson.dumps(content, default=_decimal)


def _summary(found: Statistics) -> dict[str, Any]:
    return {
        "books": found.books,
        "in_stock": found.in_stock,
        "rating": {"count": found.rated, "average": found.rating_average},
        "prices": prices(found.prices),
    }


def _facet(facet: Facet) -> Any:
    if not isinstance(facet, NumericFacet):
        return [{"value": each.value, "count": each.count, "selected": each.selected} for each in facet.values]
    answer: dict[str, Any] = {
        "count": facet.count,
        "min": facet.low,
        "max": facet.high,
        "avg": facet.average,
        "histogram": [{"from": each.low, "to": each.high, "count": each.count} for each in facet.histogram],
        "selected": [_range(each) for each in facet.selected],
    }
    if facet.currency is not None:
        answer["currency"] = facet.currency
    return answer


def _range(selected: Range) -> dict[str, Any]:
    return {"from": selected.low, "to": selected.high}


def _decimal(value: object) -> str:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"not JSON: {type(value)}")

"""Renders books and book lists as JSON."""

from collections.abc import Sequence
from typing import Any

import orjson
from bookwheel_contracts import Book
from bookwheel_stores.search.queries import Facet, NumericFacet, Range, SearchPage

from bookwheel_catalog.search.rendering import dump_json


def render_book_list(
    page: SearchPage,
    *,
    next_cursor: str | None,
    fields: Sequence[str] | None,
    prices: Sequence[dict[str, Any]] | None = None,
) -> bytes:
    """Joins the books' JSON from the index. `fields` selects fields of each book."""
    items = page.items if fields is None else [select_fields(item, fields) for item in page.items]
    summary: dict[str, Any] = {
        "total": {"value": page.total, "relation": "eq"},
        "facets": {name: _render_facet(facet) for name, facet in page.facets.items()},
        "next": next_cursor,
    }
    if prices is not None:
        summary["prices"] = prices
    return b'{"items":[%b],%b' % (b",".join(items), dump_json(summary)[1:])


def render_book(book: Book) -> bytes:
    """Renders a book with all details."""
    hidden_offer_fields = {"__all__": {"source_key": True}}
    return book.model_dump_json(exclude={"number": True, "offers": hidden_offer_fields}).encode()


def select_fields(book: bytes, fields: Sequence[str]) -> bytes:
    """Returns a book's JSON with only these fields, in this order."""
    content = orjson.loads(book)
    return orjson.dumps({name: content[name] for name in fields})


def _render_facet(facet: Facet) -> Any:
    if not isinstance(facet, NumericFacet):
        return [{"value": term.value, "count": term.count, "selected": term.selected} for term in facet.values]
    content: dict[str, Any] = {
        "count": facet.count,
        "min": facet.low,
        "max": facet.high,
        "avg": facet.average,
        "histogram": [{"from": bucket.low, "to": bucket.high, "count": bucket.count} for bucket in facet.histogram],
        "selected": [_render_range(selected_range) for selected_range in facet.selected],
    }
    if facet.currency is not None:
        content["currency"] = facet.currency
    return content


def _render_range(selected_range: Range) -> dict[str, Any]:
    return {"from": selected_range.low, "to": selected_range.high}

"""Cleans a scraped item: every field is cleaned, and a rejected item has all reasons at once."""

from collections.abc import Callable
from typing import Any, TypeVar

from bookwheel_contracts import FieldError, RawItem
from bookwheel_contracts.crawls import RAW_FIELDS, SCHEMA_VERSION
from bookwheel_contracts.isbn import clean_isbn
from pydantic import JsonValue, ValidationError

from bookwheel_processor.cleaning import identity
from bookwheel_processor.cleaning.faults import InvalidItemError, InvalidValueError, shown
from bookwheel_processor.cleaning.numbers import clean_count, clean_price, clean_rating, clean_stock
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.cleaning.text import clean_label, clean_prose, clean_text
from bookwheel_processor.cleaning.urls import canonical_url, clean_image_url

T = TypeVar("T")
_MAX_REASONS = 50


class _Faults:
    """Collects the reasons of an item."""

    def __init__(self) -> None:
        self.reasons: list[FieldError] = []

    def add(self, field: str, code: str, message: str) -> None:
        self.reasons.append(FieldError(field=field, code=code, message=message))

    def guard(self, field: str, clean: Callable[..., T], *values: Any) -> T | None:
        try:
            return clean(*values)
        except InvalidValueError as fault:
            self.add(field, fault.code, str(fault))
            return None

    def raise_any(self) -> None:
        if not self.reasons:
            return
        more = len(self.reasons) - _MAX_REASONS
        if more > 0:
            del self.reasons[_MAX_REASONS:]
            self.add("entry", "more_reasons", f"has {more} more faults")
        raise InvalidItemError(tuple(self.reasons))


def clean_item(item: RawItem) -> CleanOffer:
    """Raises InvalidItemError with all reasons."""
    faults, payload = _Faults(), item.payload
    if not 1 <= item.schema_version <= SCHEMA_VERSION:
        faults.add("schema_version", "unknown_version", f"is {item.schema_version}, not {SCHEMA_VERSION}")
    if item.source == identity.ISBN:
        faults.add("source", "reserved", "is reserved")
    for name in sorted(payload.keys() - RAW_FIELDS):
        faults.add(shown(name), "unknown_field", "is not a field of an item")
    url = faults.guard("url", canonical_url, item.url)
    key = faults.guard("key", identity.source_key, payload.get("key"), item.url, item.site) if url else None
    price = faults.guard("price", clean_price, payload.get("price"), payload.get("currency"))
    stock = faults.guard("stock", clean_stock, payload.get("stock"), payload.get("availability"))
    details = _details(payload, item.url, faults)
    faults.raise_any()
    try:
        return CleanOffer.model_validate(
            {
                "source": item.source,
                "source_key": key,
                "book_id": identity.book_id(item.source, key or "", details["isbn13"]),
                "url": url,
                "price": price,
                "stock": stock[0] if stock else None,
                "in_stock": bool(stock and stock[1]),
                "details": details,
            }
        )
    except ValidationError as error:
        raise InvalidItemError(tuple(map(_reason, error.errors(include_url=False, include_context=False)))) from None


def _details(payload: dict[str, JsonValue], page_url: str, faults: _Faults) -> dict[str, Any]:
    get, guard = payload.get, faults.guard
    return {
        "title": guard("title", _title, get("title")),
        "subtitle": guard("subtitle", clean_text, get("subtitle")),
        "authors": guard("authors", _authors, get("authors")) or (),
        "isbn13": clean_isbn(get("isbn")),
        "category": guard("category", _category, get("category")),
        "description": guard("description", clean_prose, get("description")),
        "language": guard("language", clean_text, get("language")),
        "rating": guard("rating", clean_rating, get("rating"), get("rating_best")),
        "rating_count": guard("rating_count", clean_count, get("rating_count")),
        "image_url": clean_image_url(get("image_url"), page_url),
    }


def _title(value: JsonValue) -> str:
    title = clean_text(value)
    if title is None:
        raise InvalidValueError("missing", "is missing")
    return title


def _authors(value: JsonValue) -> tuple[str, ...]:
    """Distinct names in the page's order; a text may have several, separated by semicolons."""
    names = value if isinstance(value, list) else str(value).split(";") if isinstance(value, str) else [value]
    names_by_key: dict[str, str] = {}
    for name in map(clean_text, names):
        if name:
            names_by_key.setdefault(name.casefold(), name)
    return tuple(names_by_key.values())


def _category(value: JsonValue) -> str | None:
    """The last of a list that goes from general to special categories."""
    if isinstance(value, list):
        return next((label for label in map(_category, reversed(value)) if label), None)
    return clean_label(value) if isinstance(value, str) else clean_text(value)


def _reason(error: Any) -> FieldError:
    path = [str(part) for part in error["loc"] if part != "details"]
    return FieldError(field=".".join(path), code=error["type"], message=f"{error['msg']}: {shown(error['input'])}")

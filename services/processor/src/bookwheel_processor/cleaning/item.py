"""Cleans all fields of a scraped item and collects all of its errors."""

from collections.abc import Callable
from typing import Any, TypeVar

from bookwheel_contracts import FieldError, RawItem
from bookwheel_contracts.crawls import RAW_FIELDS, SCHEMA_VERSION
from bookwheel_contracts.isbn import clean_isbn
from pydantic import JsonValue, ValidationError

from bookwheel_processor.cleaning import identity
from bookwheel_processor.cleaning.errors import InvalidItemError, InvalidValueError, quote_value
from bookwheel_processor.cleaning.numbers import clean_count, clean_price, clean_rating, clean_stock
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.cleaning.text import clean_label, clean_prose, clean_text
from bookwheel_processor.cleaning.urls import canonical_url, clean_image_url

T = TypeVar("T")
_MAX_REASONS = 50


class _FieldErrors:
    """Collects the field errors of an item."""

    def __init__(self) -> None:
        self.reasons: list[FieldError] = []

    def add(self, field: str, code: str, message: str) -> None:
        self.reasons.append(FieldError(field=field, code=code, message=message))

    def clean(self, field: str, cleaner: Callable[..., T], *values: Any) -> T | None:
        try:
            return cleaner(*values)
        except InvalidValueError as error:
            self.add(field, error.code, str(error))
            return None

    def raise_any(self) -> None:
        if not self.reasons:
            return
        excess_count = len(self.reasons) - _MAX_REASONS
        if excess_count > 0:
            del self.reasons[_MAX_REASONS:]
            self.add("entry", "more_reasons", f"has {excess_count} more errors")
        raise InvalidItemError(tuple(self.reasons))


def clean_item(item: RawItem) -> CleanOffer:
    """Clean an item. Raises InvalidItemError with all of its errors."""
    errors, payload = _FieldErrors(), item.payload
    if not 1 <= item.schema_version <= SCHEMA_VERSION:
        errors.add("schema_version", "unknown_version", f"is {item.schema_version}, not {SCHEMA_VERSION}")
    if item.source == identity.ISBN:
        errors.add("source", "reserved", "is reserved")
    for name in sorted(payload.keys() - RAW_FIELDS):
        errors.add(quote_value(name), "unknown_field", "is not a field of an item")
    url = errors.clean("url", canonical_url, item.url)
    key = errors.clean("key", identity.source_key, payload.get("key"), item.url, item.site) if url else None
    price = errors.clean("price", clean_price, payload.get("price"), payload.get("currency"))
    stock = errors.clean("stock", clean_stock, payload.get("stock"), payload.get("availability"))
    details = _clean_details(payload, item.url, errors)
    errors.raise_any()
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
        raise InvalidItemError(
            tuple(map(_field_error, error.errors(include_url=False, include_context=False)))
        ) from None


def _clean_details(payload: dict[str, JsonValue], page_url: str, errors: _FieldErrors) -> dict[str, Any]:
    get, clean = payload.get, errors.clean
    return {
        "title": clean("title", _clean_title, get("title")),
        "subtitle": clean("subtitle", clean_text, get("subtitle")),
        "authors": clean("authors", _clean_authors, get("authors")) or (),
        "isbn13": clean_isbn(get("isbn")),
        "category": clean("category", _clean_category, get("category")),
        "description": clean("description", clean_prose, get("description")),
        "language": clean("language", clean_text, get("language")),
        "rating": clean("rating", clean_rating, get("rating"), get("rating_best")),
        "rating_count": clean("rating_count", clean_count, get("rating_count")),
        "image_url": clean_image_url(get("image_url"), page_url),
    }


def _clean_title(value: JsonValue) -> str:
    title = clean_text(value)
    if title is None:
        raise InvalidValueError("missing", "is missing")
    return title


def _clean_authors(value: JsonValue) -> tuple[str, ...]:
    """Return the distinct names in the page's order. A text can contain several names, separated by semicolons."""
    names = value if isinstance(value, list) else str(value).split(";") if isinstance(value, str) else [value]
    names_by_key: dict[str, str] = {}
    for name in map(clean_text, names):
        if name:
            names_by_key.setdefault(name.casefold(), name)
    return tuple(names_by_key.values())


def _clean_category(value: JsonValue) -> str | None:
    """Return the most specific category, the last one of a list."""
    if isinstance(value, list):
        return next((label for label in map(_clean_category, reversed(value)) if label), None)
    return clean_label(value) if isinstance(value, str) else clean_text(value)


def _field_error(error: Any) -> FieldError:
    path = [str(part) for part in error["loc"] if part != "details"]
    return FieldError(
        field=".".join(path), code=error["type"], message=f"{error['msg']}: {quote_value(error['input'])}"
    )

"""Cleans all fields of a scraped item.

A field that cannot be read is left out, and its fault is kept with the offer. Only an item without title or identity,
or with fields that no schema has, is invalid.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bookwheel_contracts import FieldError, FieldFault, RawItem
from bookwheel_contracts.crawls import RAW_FIELDS, SCHEMA_VERSION
from bookwheel_extraction.values import Parsed, ValueFault
from bookwheel_extraction.values.availability import Availability, AvailabilityState, parse_availability
from bookwheel_extraction.values.categories import parse_categories
from bookwheel_extraction.values.contributors import Role, parse_contributors
from bookwheel_extraction.values.counts import parse_count
from bookwheel_extraction.values.identifiers import parse_isbn
from bookwheel_extraction.values.languages import parse_language
from bookwheel_extraction.values.prices import parse_price
from bookwheel_extraction.values.ratings import parse_rating
from bookwheel_extraction.values.text import parse_prose, parse_text
from bookwheel_extraction.values.urls import normalize_url
from pydantic import JsonValue, ValidationError

from bookwheel_processor.cleaning import identity
from bookwheel_processor.cleaning.errors import InvalidItemError, quote_value
from bookwheel_processor.cleaning.offers import CleanOffer

_MAX_REASONS = 50
_OPTIONAL_DETAILS = frozenset(
    {"subtitle", "authors", "category", "description", "language", "rating_count", "image_url"}
)
"""Details with a maximum length or value. A longer value is a fault of its field."""


def clean_item(item: RawItem) -> CleanOffer:
    """Clean an item. Raises InvalidItemError with all reasons why it is invalid."""
    payload = item.payload
    get = payload.get
    url, title = normalize_url(item.url), parse_text(get("title"))
    key = identity.parse_source_key(get("key"), item.url, item.site)
    if (
        not 1 <= item.schema_version <= SCHEMA_VERSION
        or item.source == identity.ISBN
        or not payload.keys() <= RAW_FIELDS
        or None in (url.value, key.value, title.value)
    ):
        raise InvalidItemError(_errors(item, {"url": url, "key": key, "title": title}))
    values: dict[str, Any] = {}
    faults: list[FieldFault] = []
    for name, value in payload.items():
        parse = _PARSERS.get(name)
        if parse is not None and value is not None:
            values[name], fault = parse(value, item)
            if fault is not None:
                faults.append(FieldFault(field=name, code=fault.code, text=fault.text))
    state, stock = _stock(values.get("availability"), values.get("stock"))
    fields = {
        "source": item.source,
        "source_key": key.value,
        "book_id": identity.book_id(item.source, key.value or "", values.get("isbn")),
        "url": url.value,
        "price": values.get("price"),
        "stock": stock,
        "in_stock": state is AvailabilityState.IN_STOCK,
        "availability": state,
        "details": _details(title.value, values),
        "faults": tuple(faults),
    }
    try:
        return CleanOffer.model_validate(fields)
    except ValidationError as error:
        return _without_long_details(fields, error)


def _errors(item: RawItem, parsed: Mapping[str, Parsed[str]]) -> tuple[FieldError, ...]:
    """Return all reasons why an item is invalid. `parsed` are the fields of its identity and its title."""
    errors: list[FieldError] = []

    def add(field: str, code: str, message: str) -> None:
        errors.append(FieldError(field=field, code=code, message=message))

    if not 1 <= item.schema_version <= SCHEMA_VERSION:
        add("schema_version", "unknown_version", f"is {item.schema_version}, not {SCHEMA_VERSION}")
    if item.source == identity.ISBN:
        add("source", "reserved", "is reserved")
    for name in sorted(item.payload.keys() - RAW_FIELDS):
        add(quote_value(name), "unknown_field", "is not a field of an item")
    for name, (value, fault) in parsed.items():
        if fault is not None:
            add(name, fault.code, f"is invalid: {quote_value(fault.text)}")
        elif value is None:
            add(name, "missing", "is missing")
    more = len(errors) - _MAX_REASONS
    if more > 0:
        del errors[_MAX_REASONS:]
        add("entry", "more_reasons", f"has {more} more errors")
    return tuple(errors)


def _stock(parsed: Availability | None, copies: int | None) -> tuple[AvailabilityState | None, int | None]:
    """Return the state, or None if it is unknown, and the number of copies. A stated number takes precedence."""
    if copies is None and parsed is not None:
        copies = parsed.stock
    state = parsed.state if parsed is not None else None
    if (state is None and copies is not None) or (state is AvailabilityState.IN_STOCK and copies == 0):
        state = AvailabilityState.IN_STOCK if copies else AvailabilityState.OUT_OF_STOCK
    if copies is None and state not in (None, AvailabilityState.IN_STOCK):
        copies = 0
    return state, copies


def _details(title: str | None, values: dict[str, Any]) -> dict[str, Any]:
    get = values.get
    categories, language = get("category"), get("language")
    return {
        "title": title,
        "subtitle": get("subtitle"),
        "authors": tuple([author.name for author in get("authors") or () if author.role is Role.AUTHOR]),
        "isbn13": get("isbn"),
        "category": categories[-1] if categories else None,
        "description": get("description"),
        "language": language.code if language else None,
        "rating": get("rating"),
        "rating_count": get("rating_count"),
        "image_url": get("image_url"),
    }


def _parse_category(value: JsonValue, item: RawItem) -> Parsed[tuple[str, ...]]:
    title = item.payload.get("title")
    return parse_categories(value, title if isinstance(title, str) else None)


def _parse_rating(value: JsonValue, item: RawItem) -> Parsed[float]:
    """Parse the rating. A rating of zero without votes is none.

    Shops with the markup of books.toscrape.com count written reviews, so that zero can have stars.
    """
    rating = parse_rating(value, item.payload.get("rating_best"))
    if rating.value == 0 and parse_count(item.payload.get("rating_count")).value == 0:
        return Parsed()
    return rating


def _parse_image_url(value: JsonValue, item: RawItem) -> Parsed[str]:
    """Parse the image's URL. An inlined image is a placeholder without a URL."""
    is_inlined = isinstance(value, str) and value.lstrip()[:5].lower() == "data:"
    return Parsed() if is_inlined else normalize_url(value, item.url)


_PARSERS: Mapping[str, Callable[[JsonValue, RawItem], Parsed[Any]]] = MappingProxyType(
    {
        "subtitle": lambda value, _: parse_text(value),
        "authors": lambda value, _: parse_contributors(value),
        "isbn": lambda value, _: parse_isbn(value),
        "category": _parse_category,
        "description": lambda value, _: parse_prose(value),
        "language": lambda value, _: parse_language(value),
        "price": lambda value, item: parse_price(value, item.payload.get("currency")),
        "availability": lambda value, _: parse_availability(value),
        "stock": lambda value, _: parse_count(value),
        "rating": _parse_rating,
        "rating_count": lambda value, _: parse_count(value),
        "image_url": _parse_image_url,
    }
)
"""The parser of each field of a payload. Some use other fields of the item."""


def _without_long_details(fields: dict[str, Any], error: ValidationError) -> CleanOffer:
    """Leave out the details that the error names. Raises InvalidItemError if it names another field."""
    reasons = error.errors(include_url=False, include_context=False)
    details, faults = dict(fields["details"]), list(fields["faults"])
    for reason in reasons:
        name = reason["loc"][1] if len(reason["loc"]) > 1 and reason["loc"][0] == "details" else None
        if name not in _OPTIONAL_DETAILS:
            raise InvalidItemError(tuple(map(_field_error, reasons))) from None
        if details.pop(name, None) is not None:
            faults.append(FieldFault(field=str(name), code=reason["type"], text=ValueFault.cut(reason["input"])))
    return CleanOffer.model_validate({**fields, "details": details, "faults": tuple(faults)})


def _field_error(error: Any) -> FieldError:
    path = [str(part) for part in error["loc"] if part != "details"]
    return FieldError(
        field=".".join(path), code=error["type"], message=f"{error['msg']}: {quote_value(error['input'])}"
    )

"""Parses query parameters into queries of the index. Every error names its parameter."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bookwheel_contracts.isbn import clean_isbn
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_stores.search.fields import FACETS, FIELDS, FieldKind
from bookwheel_stores.search.queries import Filter, Range, TextQuery
from bookwheel_stores.search.text import parse_text

MAX_TEXT_LENGTH = 500
MAX_WORDS = 32
MAX_VALUES = 100
_MAX_SHOWN = 60
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LAST_MILLISECOND = timedelta(days=1) - timedelta(milliseconds=1)
INVALID, UNKNOWN_FIELD = "invalid_value", "unknown_field"


def parse_query_text(text: str | None, *, parameter: str = "q", name: str | None = None) -> TextQuery | None:
    """Returns None for a text that is absent or blank. `name` is the field to search, None for all of them."""
    if text is None or not text.strip():
        return None
    query = parse_text(text, name=name)
    if sum(len(clause.words) for clause in (*query.required, *query.excluded)) > MAX_WORDS:
        raise invalid_field(parameter, INVALID, f"has more than {MAX_WORDS} words")
    return query


def parse_filters(filters: Iterable[str]) -> tuple[Filter, ...]:
    """Parses `field:value` strings. Values of one field widen it, fields narrow each other."""
    values_by_field: dict[str, list[str]] = {}
    for text in filters:
        name, colon, value = text.partition(":")
        if not colon:
            raise invalid_field("filter", INVALID, f"`{shorten(text)}` is not of the form field:value")
        if name not in FIELDS:
            raise _unknown_field("filter", name, FIELDS)
        values_by_field.setdefault(name, []).append(value)
    if sum(map(len, values_by_field.values())) > MAX_VALUES:
        raise invalid_field("filter", INVALID, f"has more than {MAX_VALUES} values")
    return tuple(_filter(name, list(dict.fromkeys(values_by_field[name]))) for name in sorted(values_by_field))


def parse_facets(facets: Iterable[str]) -> tuple[str, ...]:
    """Each item is a facet or a comma-separated list of facets."""
    names = dict.fromkeys(name for item in facets for name in item.split(","))
    for name in names:
        if name not in FACETS:
            raise _unknown_field("facet", name, FACETS)
    return tuple(names)


def parse_fields(fields: str | None, allowed: Sequence[str]) -> tuple[str, ...] | None:
    """Parses a comma-separated list of a book's fields. None stands for all of them."""
    if fields is None:
        return None
    names = tuple(dict.fromkeys(fields.split(",")))
    for name in names:
        if name not in allowed:
            raise _unknown_field("fields", name, allowed)
    return names


def parse_range(parameter: str, name: str, value: str) -> Range:
    """Parses `low..high`, `low..`, `..high` or one value of the index field `name`."""
    low_text, dots, high_text = value.partition("..")
    if not dots:
        high_text = low_text
    if not low_text and not high_text:
        raise invalid_field(parameter, INVALID, f"`{shorten(value)}` has neither a low nor a high end")
    low = _bound(parameter, name, low_text, is_high=False) if low_text else None
    high = _bound(parameter, name, high_text, is_high=True) if high_text else None
    if low is not None and high is not None and low > high:
        raise invalid_field(parameter, INVALID, f"the low end of `{shorten(value)}` is above its high end")
    return Range(low, high)


def parse_isbn(parameter: str, value: str) -> str:
    """Returns thirteen digits. An empty ISBN is refused too: without a filter, every book would match."""
    isbn13 = clean_isbn(value)
    if isbn13 is None:
        message = f"`{shorten(value)}` is not an ISBN-13 or ISBN-10 with a right check digit"
        raise invalid_field(parameter, INVALID, message)
    return isbn13


def parse_time(parameter: str, value: str, *, is_high: bool) -> datetime:
    """Parses RFC 3339 into UTC. A date alone is its first moment, or its last as the high end of a range."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        message = f"`{shorten(value)}` is not a date or a time such as 2026-01-31T08:15:00Z"
        raise invalid_field(parameter, INVALID, message) from None
    if _DAY.fullmatch(value):
        moment = moment.replace(tzinfo=UTC)
        return moment + _LAST_MILLISECOND if is_high else moment
    if moment.tzinfo is None:
        raise invalid_field(parameter, INVALID, f"`{shorten(value)}` lacks an offset such as Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise invalid_field(parameter, INVALID, f"`{shorten(value)}` is not in the years 1 to 9999") from None


def shorten(value: str) -> str:
    """A client's text, short enough for an error message."""
    return value if len(value) <= _MAX_SHOWN else f"{value[:_MAX_SHOWN]}…"


def _filter(name: str, values: list[str]) -> Filter:
    kind = FIELDS[name]
    if kind is FieldKind.TERM:
        if not all(values):
            raise invalid_field("filter", INVALID, f"{name} has an empty value")
        return Filter(name, values=tuple(sorted(values)))
    if kind is FieldKind.BOOLEAN:
        for value in values:
            if value not in {"true", "false"}:
                raise invalid_field("filter", INVALID, f"{name} must be true or false, not `{shorten(value)}`")
        return Filter(name, values=tuple(sorted(values)))
    return Filter(name, ranges=tuple(parse_range("filter", name, value) for value in sorted(values)))


def _bound(parameter: str, name: str, value: str, *, is_high: bool) -> Decimal | int:
    if FIELDS[name] is FieldKind.TIME:
        return round(parse_time(parameter, value, is_high=is_high).timestamp() * 1000)
    if not _NUMBER.fullmatch(value):
        raise invalid_field(parameter, INVALID, f"{name}: `{shorten(value)}` is not a number")
    return Decimal(value)


def _unknown_field(parameter: str, name: str, allowed: Iterable[str]) -> Exception:
    message = f"there is no field `{shorten(name)}`; use one of {', '.join(allowed)}"
    return invalid_field(parameter, UNKNOWN_FIELD, message)

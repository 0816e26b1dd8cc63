"""Parses query parameters of searches. Every error names its parameter."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bookwheel_contracts.isbn import clean_isbn
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_stores.search.fields import FACETS, FIELD_KINDS, FieldKind
from bookwheel_stores.search.queries import Filter, Range, TextQuery
from bookwheel_stores.search.text import parse_text

MAX_TEXT_LENGTH = 500
MAX_WORDS = 32
MAX_VALUES = 100
_MAX_QUOTED_LENGTH = 60
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_LAST_MILLISECOND = timedelta(days=1) - timedelta(milliseconds=1)
INVALID_VALUE, UNKNOWN_FIELD = "invalid_value", "unknown_field"


def parse_query_text(text: str | None, *, parameter: str = "q", field: str | None = None) -> TextQuery | None:
    """Parses a search text; returns None if it is blank. `field` limits the search to a field.

    Raises InvalidParameterError.
    """
    if text is None or not text.strip():
        return None
    query = parse_text(text, field=field)
    if sum(len(clause.words) for clause in (*query.required, *query.excluded)) > MAX_WORDS:
        raise invalid_field(parameter, INVALID_VALUE, f"must not have more than {MAX_WORDS} words")
    return query


def parse_filters(filters: Iterable[str]) -> tuple[Filter, ...]:
    """Parses `field:value` strings. Values of the same field are combined with OR, different fields with AND."""
    values_by_field: dict[str, list[str]] = {}
    for text in filters:
        name, colon, value = text.partition(":")
        if not colon:
            raise invalid_field("filter", INVALID_VALUE, f"`{shorten(text)}` must have the form field:value")
        if name not in FIELD_KINDS:
            raise _unknown_field("filter", name, FIELD_KINDS)
        values_by_field.setdefault(name, []).append(value)
    if sum(map(len, values_by_field.values())) > MAX_VALUES:
        raise invalid_field("filter", INVALID_VALUE, f"must not have more than {MAX_VALUES} values")
    return tuple(_create_filter(name, list(dict.fromkeys(values_by_field[name]))) for name in sorted(values_by_field))


def parse_facets(facets: Iterable[str]) -> tuple[str, ...]:
    """Parses facets. Each item is a facet or a comma-separated list of facets."""
    names = dict.fromkeys(name for item in facets for name in item.split(","))
    for name in names:
        if name not in FACETS:
            raise _unknown_field("facet", name, FACETS)
    return tuple(names)


def parse_fields(fields: str | None, allowed: Sequence[str]) -> tuple[str, ...] | None:
    """Parses a comma-separated list of book fields. None means all fields."""
    if fields is None:
        return None
    names = tuple(dict.fromkeys(fields.split(",")))
    for name in names:
        if name not in allowed:
            raise _unknown_field("fields", name, allowed)
    return names


def parse_range(parameter: str, field: str, value: str) -> Range:
    """Parses `lower..upper`, `lower..`, `..upper` or a single value of an index field."""
    lower_text, separator, upper_text = value.partition("..")
    if not separator:
        upper_text = lower_text
    if not lower_text and not upper_text:
        raise invalid_field(parameter, INVALID_VALUE, f"`{shorten(value)}` must have a lower or an upper bound")
    lower = _parse_bound(parameter, field, lower_text, is_upper=False) if lower_text else None
    upper = _parse_bound(parameter, field, upper_text, is_upper=True) if upper_text else None
    if lower is not None and upper is not None and lower > upper:
        message = f"the lower bound of `{shorten(value)}` must not be greater than the upper bound"
        raise invalid_field(parameter, INVALID_VALUE, message)
    return Range(lower, upper)


def parse_isbn(parameter: str, value: str) -> str:
    """Returns the ISBN-13 without hyphens. Raises InvalidParameterError, also for an empty value."""
    isbn13 = clean_isbn(value)
    if isbn13 is None:
        message = f"`{shorten(value)}` is not an ISBN-13 or ISBN-10 with a correct check digit"
        raise invalid_field(parameter, INVALID_VALUE, message)
    return isbn13


def parse_time(parameter: str, value: str, *, end_of_day: bool) -> datetime:
    """Parses an RFC 3339 time and converts it to UTC.

    A date without a time means the start of that day, or its last millisecond if `end_of_day`.
    """
    try:
        timestamp = datetime.fromisoformat(value)
    except ValueError:
        message = f"`{shorten(value)}` is not a date or a time such as 2026-01-31T08:15:00Z"
        raise invalid_field(parameter, INVALID_VALUE, message) from None
    if _DAY.fullmatch(value):
        timestamp = timestamp.replace(tzinfo=UTC)
        return timestamp + _LAST_MILLISECOND if end_of_day else timestamp
    if timestamp.tzinfo is None:
        raise invalid_field(parameter, INVALID_VALUE, f"`{shorten(value)}` must have a UTC offset such as Z")
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        raise invalid_field(parameter, INVALID_VALUE, f"`{shorten(value)}` must be in the years 1 to 9999") from None


def shorten(value: str) -> str:
    """Truncates a client's text for an error message."""
    return value if len(value) <= _MAX_QUOTED_LENGTH else f"{value[:_MAX_QUOTED_LENGTH]}…"


def _create_filter(name: str, values: list[str]) -> Filter:
    kind = FIELD_KINDS[name]
    if kind is FieldKind.TERM:
        if not all(values):
            raise invalid_field("filter", INVALID_VALUE, f"a value of {name} must not be empty")
        return Filter(name, values=tuple(sorted(values)))
    if kind is FieldKind.BOOLEAN:
        for value in values:
            if value not in {"true", "false"}:
                raise invalid_field("filter", INVALID_VALUE, f"{name} must be true or false, not `{shorten(value)}`")
        return Filter(name, values=tuple(sorted(values)))
    return Filter(name, ranges=tuple(parse_range("filter", name, value) for value in sorted(values)))


def _parse_bound(parameter: str, field: str, value: str, *, is_upper: bool) -> Decimal | int:
    if FIELD_KINDS[field] is FieldKind.TIME:
        return round(parse_time(parameter, value, end_of_day=is_upper).timestamp() * 1000)
    if not _NUMBER.fullmatch(value):
        raise invalid_field(parameter, INVALID_VALUE, f"{field}: `{shorten(value)}` is not a number")
    return Decimal(value)


def _unknown_field(parameter: str, name: str, allowed: Iterable[str]) -> Exception:
    message = f"the field `{shorten(name)}` does not exist; use one of {', '.join(allowed)}"
    return invalid_field(parameter, UNKNOWN_FIELD, message)

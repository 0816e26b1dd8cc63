"""From query parameters to queries. Every error names its parameter."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NoReturn

from bookwheel_contracts import BookContent
from bookwheel_contracts.isbn import clean_isbn
from bookwheel_contracts.problems import FieldError, InvalidParameterError
from bookwheel_stores.records import ChangeFilter
from bookwheel_stores.search.queries import FACETS, FIELDS, FieldKind, Filter, Range, TextQuery
from bookwheel_stores.search.text import parse_text

MAX_TEXT_LENGTH = 500
MAX_WORDS = 32
MAX_VALUES = 100
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,9})?", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CHANGING = [name for name in BookContent.model_fields if name not in {"id", "last_changed", "revision"}]
_LAST_MILLISECOND = timedelta(days=1) - timedelta(milliseconds=1)


def reject(name: str, message: str, *, code: str = "invalid_value") -> NoReturn:
    raise InvalidParameterError(f"{name}: {message}", errors=(FieldError(field=name, code=code, message=message),))


def read_text(text: str | None, *, parameter: str = "q", name: str | None = None) -> TextQuery | None:
    """None for text that is absent or blank."""
    if text is None or not text.strip():
        return None
    query = parse_text(text, name=name)
    if sum(len(clause.words) for clause in (*query.required, *query.excluded)) > MAX_WORDS:
        reject(parameter, f"has more than {MAX_WORDS} words")
    return query


def read_filters(filters: Iterable[str]) -> tuple[Filter, ...]:
    """`field:value` each: values of one field widen it, fields narrow each other."""
    wanted: dict[str, list[str]] = {}
    for given in filters:
        name, colon, value = given.partition(":")
        if not colon:
            reject("filter", f"`{shown(given)}` is not of the form field:value")
        if name not in FIELDS:
            reject("filter", f"there is no field `{shown(name)}`; there are {', '.join(FIELDS)}", code="unknown_field")
        wanted.setdefault(name, []).append(value)
    if sum(map(len, wanted.values())) > MAX_VALUES:
        reject("filter", f"more than {MAX_VALUES} values")
    return tuple(_filter(name, list(dict.fromkeys(wanted[name]))) for name in sorted(wanted))


def read_change_filter(filters: Sequence[str], parameter: str = "filter") -> ChangeFilter:
    """`name:value` each, of `kind`, `source`, `category`, `field`."""
    if len(filters) > MAX_VALUES:
        reject(parameter, f"more than {MAX_VALUES} values")
    try:
        chosen = ChangeFilter.parse(filters)
    except ValueError as error:
        reject(parameter, str(error))
    for name in sorted(chosen.fields.difference(_CHANGING)):
        known = ", ".join(_CHANGING)
        reject(parameter, f"no change tells of a field `{shown(name)}`; there are {known}", code="unknown_field")
    return chosen


def read_facets(facets: Iterable[str]) -> tuple[str, ...]:
    """Each may also be a comma-separated list."""
    names = dict.fromkeys(name for given in facets for name in given.split(","))
    for name in names:
        if name not in FACETS:
            reject("facet", f"there is no facet `{shown(name)}`; there are {', '.join(FACETS)}", code="unknown_field")
    return tuple(names)


def read_fields(fields: str | None, known: Sequence[str]) -> tuple[str, ...] | None:
    """A comma-separated choice of a book's fields; None for all of them."""
    if fields is None:
        return None
    names = tuple(dict.fromkeys(fields.split(",")))
    for name in names:
        if name not in known:
            reject("fields", f"there is no field `{shown(name)}`; there are {', '.join(known)}", code="unknown_field")
    return names


def read_range(parameter: str, name: str, value: str) -> Range:
    """`low..high`, `low..`, `..high` or one value, of the kind of field `name`."""
    low, dots, high = value.partition("..")
    if not dots:
        high = low
    if not low and not high:
        reject(parameter, f"`{shown(value)}` has neither a low nor a high end")
    found = Range(
        _bound(parameter, name, low, is_high=False) if low else None,
        _bound(parameter, name, high, is_high=True) if high else None,
    )
    if found.low is not None and found.high is not None and found.low > found.high:
        reject(parameter, f"the low end of `{shown(value)}` is above its high end")
    return found


def read_isbn(parameter: str, value: str) -> str:
    """Thirteen digits. An empty one is refused as well: read as none at all, it would find every book."""
    isbn13 = clean_isbn(value)
    if isbn13 is None:
        reject(parameter, f"`{shown(value)}` is not an ISBN-13 or ISBN-10 with a right check digit")
    return isbn13


def read_time(parameter: str, value: str, *, is_high: bool) -> datetime:
    """RFC 3339, in UTC; a date alone is its first moment, or its last where it is the high end of a range."""
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        reject(parameter, f"`{shown(value)}` is not a date or a time such as 2026-01-31T08:15:00Z")
    if _DAY.fullmatch(value):
        moment = moment.replace(tzinfo=UTC)
        return moment + _LAST_MILLISECOND if is_high else moment
    if moment.tzinfo is None:
        reject(parameter, f"`{shown(value)}` lacks an offset such as Z")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        reject(parameter, f"`{shown(value)}` is beyond the years 1 to 9999")


def shown(value: str) -> str:
    """A part of what a caller sent, short enough for an error message."""
    return value if len(value) <= 60 else f"{value[:60]}…"


def _filter(name: str, values: list[str]) -> Filter:
    kind = FIELDS[name]
    if kind is FieldKind.TERM:
        if not all(values):
            reject("filter", f"{name} has an empty value")
        return Filter(name, values=tuple(sorted(values)))
    if kind is FieldKind.BOOLEAN:
        for value in values:
            if value not in {"true", "false"}:
                reject("filter", f"{name} is true or false, not `{shown(value)}`")
        return Filter(name, values=tuple(sorted(values)))
    return Filter(name, ranges=tuple(read_range("filter", name, value) for value in sorted(values)))


def _bound(parameter: str, name: str, value: str, *, is_high: bool) -> Decimal | int:
    if FIELDS[name] is FieldKind.TIME:
        return round(read_time(parameter, value, is_high=is_high).timestamp() * 1000)
    if not _NUMBER.fullmatch(value):
        reject(parameter, f"{name}: `{shown(value)}` is not a number")
    return Decimal(value)

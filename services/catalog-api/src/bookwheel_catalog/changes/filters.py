"""Parses the filters of the change feed."""

from collections.abc import Sequence

from bookwheel_contracts import BookContent
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_stores.records import ChangeFilter

from bookwheel_catalog.search.parsing import INVALID_VALUE, MAX_VALUES, UNKNOWN_FIELD, shorten

_CHANGEABLE_FIELDS = [name for name in BookContent.model_fields if name not in {"id", "last_changed", "revision"}]


def parse_change_filter(filters: Sequence[str], parameter: str = "filter") -> ChangeFilter:
    """Parses `name:value` strings with the names `kind`, `source`, `category` and `field`.

    Raises InvalidParameterError.
    """
    if len(filters) > MAX_VALUES:
        raise invalid_field(parameter, INVALID_VALUE, f"must not have more than {MAX_VALUES} values")
    try:
        change_filter = ChangeFilter.parse(filters)
    except ValueError as error:
        raise invalid_field(parameter, INVALID_VALUE, str(error)) from error
    for name in sorted(change_filter.fields.difference(_CHANGEABLE_FIELDS)):
        message = f"the field `{shorten(name)}` does not exist; use one of {', '.join(_CHANGEABLE_FIELDS)}"
        raise invalid_field(parameter, UNKNOWN_FIELD, message)
    return change_filter

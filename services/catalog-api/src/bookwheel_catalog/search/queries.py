"""Query models that select books: text and filters of the routes for books and statistics."""

from decimal import Decimal
from typing import Annotated

from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.query_models import QueryModel
from bookwheel_stores.search.queries import Filter, Range, Selection
from pydantic import Field

from bookwheel_catalog.search.parameters import INVALID, MAX_TEXT_LENGTH, parse_filters, parse_query_text

Words = Annotated[str | None, Field(max_length=MAX_TEXT_LENGTH)]
Name = Annotated[str | None, Field(min_length=1, max_length=200)]


class SelectionParameters(QueryModel):
    q: Words = Field(default=None, description='Words that must all match, `"phrases"`, and -words to exclude.')
    filters: list[str] = Field(
        default=[],
        alias="filter",
        max_length=100,
        description="`field:value`, repeatable: values of one field widen, fields narrow. "
        "Numbers and times take ranges `low..high`, `low..`, `..high`.",
    )

    def selection(self) -> Selection:
        return Selection(parse_query_text(self.q), parse_filters(self.filters))


def exact_filter(name: str, value: str | None) -> Filter | None:
    return Filter(name, values=(value,)) if value else None


def range_filter(name: str, low: Decimal | float | None, high: Decimal | None, *, parameter: str = "") -> Filter | None:
    """`parameter` names the low end in the error for a range that is upside down."""
    if low is None and high is None:
        return None
    if low is not None and high is not None and low > high:
        raise invalid_field(parameter, INVALID, "is above the maximum")
    return Filter(name, ranges=(Range(low, high),))

"""Query parameters that select books: the text and filters of the book and statistics routes."""

from decimal import Decimal
from typing import Annotated

from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.query_models import QueryModel
from bookwheel_stores.search.queries import Filter, Range, SearchCriteria
from pydantic import Field

from bookwheel_catalog.search.parameters import INVALID, MAX_TEXT_LENGTH, parse_filters, parse_query_text

Words = Annotated[str | None, Field(max_length=MAX_TEXT_LENGTH)]
Name = Annotated[str | None, Field(min_length=1, max_length=200)]


class CriteriaParameters(QueryModel):
    q: Words = Field(default=None, description='Words that must all match, `"phrases"`, and `-words` to exclude.')
    filters: list[str] = Field(
        default=[],
        alias="filter",
        max_length=100,
        description="`field:value`, repeatable. Values of the same field are combined with OR, different fields with "
        "AND. Numbers and times also accept ranges: `lower..upper`, `lower..`, `..upper`.",
    )

    def criteria(self) -> SearchCriteria:
        return SearchCriteria(parse_query_text(self.q), parse_filters(self.filters))


def create_exact_filter(name: str, value: str | None) -> Filter | None:
    return Filter(name, values=(value,)) if value else None


def create_range_filter(
    name: str, lower: Decimal | float | None, upper: Decimal | None, *, parameter: str = ""
) -> Filter | None:
    """Returns None without bounds. Raises InvalidParameterError if the lower bound exceeds the upper bound."""
    if lower is None and upper is None:
        return None
    if lower is not None and upper is not None and lower > upper:
        raise invalid_field(parameter, INVALID, "must not be greater than the maximum")
    return Filter(name, ranges=(Range(lower, upper),))

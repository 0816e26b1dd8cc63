"""Query parameters that select books: the text and filters of the book and statistics routes."""

from decimal import Decimal
from typing import Annotated

from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.query_models import QueryModel
from bookwheel_stores.search.queries import Filter, Range, SearchCriteria
from pydantic import Field

from bookwheel_catalog.search.cursors import MAX_CURSOR_LENGTH
from bookwheel_catalog.search.parsing import INVALID_VALUE, MAX_TEXT_LENGTH, parse_filters, parse_query_text

SearchText = Annotated[str | None, Field(max_length=MAX_TEXT_LENGTH)]
ExactName = Annotated[str | None, Field(min_length=1, max_length=200)]


class CursorParameters(QueryModel):
    cursor: str | None = Field(
        default=None, max_length=MAX_CURSOR_LENGTH, description="The `next` value of the previous page."
    )
    limit: int = Field(default=20, ge=1, le=100, description="Maximum number of items on a page.")


class CriteriaParameters(QueryModel):
    q: SearchText = Field(default=None, description='Words that must all match, `"phrases"`, and `-words` to exclude.')
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
    name: str, lower: Decimal | float | None, upper: Decimal | None = None, *, lower_parameter: str = "min"
) -> Filter | None:
    """Returns None without bounds. Raises InvalidParameterError if the lower bound exceeds the upper bound.

    The error names `lower_parameter`.
    """
    if lower is None and upper is None:
        return None
    if lower is not None and upper is not None and lower > upper:
        raise invalid_field(lower_parameter, INVALID_VALUE, "must not be greater than the maximum")
    return Filter(name, ranges=(Range(lower, upper),))

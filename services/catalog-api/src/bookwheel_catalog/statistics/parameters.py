"""Query parameters of the statistics."""

from datetime import UTC, datetime, timedelta
from typing import Literal

from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.query_models import QueryModel
from bookwheel_stores.search.queries import SuggestionKind
from pydantic import Field

from bookwheel_catalog.search.parameters import CriteriaParameters
from bookwheel_catalog.search.parsing import INVALID_VALUE, parse_time

_MONTH = timedelta(days=30)
_EARLIEST_END = datetime.min.replace(tzinfo=UTC) + _MONTH


class SuggestionParameters(QueryModel):
    """Query parameters of `GET /suggest`."""

    q: str = Field(min_length=1, max_length=100, description="The beginning of a title, author or category.")
    kinds: list[SuggestionKind] = Field(
        default=[], alias="type", max_length=3, description="Types of suggestions. Default: all types."
    )
    limit: int = Field(default=10, ge=1, le=50)


class PriceTrendParameters(CriteriaParameters):
    """Query parameters of `GET /stats/prices`."""

    interval: Literal["day", "week", "month"] = "day"
    start: str | None = Field(
        default=None,
        alias="from",
        max_length=40,
        description="The start: a date or an RFC 3339 time. Default: 30 days before `to`.",
    )
    end: str | None = Field(
        default=None, alias="to", max_length=40, description="The end: a date or an RFC 3339 time. Default: now."
    )

    def period(self, now: datetime) -> tuple[datetime, datetime]:
        """Returns the start and end, by default of the last 30 days. Raises InvalidParameterError."""
        end = now if self.end is None else parse_time("to", self.end, end_of_day=True)
        if self.start is None:
            return max(end, _EARLIEST_END) - _MONTH, end
        start = parse_time("from", self.start, end_of_day=False)
        if start > end:
            raise invalid_field("from", INVALID_VALUE, "must not be after `to`")
        return start, end

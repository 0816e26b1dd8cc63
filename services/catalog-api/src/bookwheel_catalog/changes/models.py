"""API models and query parameters of the change feed."""

from typing import Annotated

from bookwheel_contracts import ChangeWithBook
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from fastapi import Header
from pydantic import Field

from bookwheel_catalog.changes.pages import LATEST


class ChangeList(Contract):
    """A page of changes. `next` is always present: pass it as `after`. `more` is true if the feed has later changes."""

    items: tuple[ChangeWithBook, ...]
    next: str
    more: bool


_POSITION = rf"^(\d{{1,18}}|{LATEST})$"
After = Annotated[
    str | None,
    Field(
        pattern=_POSITION, description="The `next` value of the previous page, the sequence of a change, or `latest`."
    ),
]
LastEventId = Annotated[
    str | None,
    Header(pattern=_POSITION, description="The id of the last received event. It takes precedence over `after`."),
]


class FeedParameters(QueryModel):
    after: After = None
    filters: list[str] = Field(
        default=[],
        alias="filter",
        max_length=100,
        description="`name:value`, repeatable. The names are `kind`, `source`, `category` and `field` (a changed "
        "field). Values of the same name are combined with OR, different names with AND.",
    )


class PageParameters(FeedParameters):
    limit: int = Field(default=100, ge=1, le=1000, description="Maximum number of changes on a page.")
    wait: float = Field(
        default=0, ge=0, le=30, allow_inf_nan=False, description="Seconds to wait for a change if the page is empty."
    )

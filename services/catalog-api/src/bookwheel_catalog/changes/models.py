"""API models and query models of the change feed."""

from typing import Annotated

from bookwheel_contracts import CarriedChange
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from fastapi import Header
from pydantic import Field

from bookwheel_catalog.changes.pages import LATEST


class ChangeList(Contract):
    """`next` is always there, to ask for what is `after` it; `more` tells whether there is something already."""

    items: tuple[CarriedChange, ...]
    next: str
    more: bool


_POSITION = rf"^(\d{{1,18}}|{LATEST})$"
After = Annotated[
    str | None,
    Field(pattern=_POSITION, description="`next` of the page before, the sequence of a change, or `latest`."),
]
LastEventId = Annotated[
    str | None,
    Header(pattern=_POSITION, description="Where to resume: the last event's id. Goes before `after`."),
]


class FeedParameters(QueryModel):
    after: After = None
    filters: list[str] = Field(
        default=[],
        alias="filter",
        max_length=100,
        description="`name:value`, repeatable: `kind`, `source`, `category`, and `field` for a changed field. Values "
        "of one name widen, names narrow.",
    )


class PageParameters(FeedParameters):
    limit: int = Field(default=100, ge=1, le=1000, description="Changes on a page.")
    wait: float = Field(
        default=0, ge=0, le=30, allow_inf_nan=False, description="Seconds to wait for a change where there is none."
    )

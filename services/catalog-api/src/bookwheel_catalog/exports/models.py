"""API models and query models of exports."""

from typing import Literal

from bookwheel_contracts.exports import Export
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from pydantic import Field

from bookwheel_catalog.search.cursors import MAX_CURSOR_LENGTH


class ExportList(Contract):
    items: tuple[Export, ...]
    next: str | None


class RequestedExport(Contract):
    """A version with this number or a greater one is created, unless there is one already."""

    at_least: int


class ExportListParameters(QueryModel):
    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_LENGTH)
    limit: int = Field(default=20, ge=1, le=100)


class SnapshotParameters(QueryModel):
    as_of: str | None = Field(
        default=None, max_length=40, description="A past time, RFC 3339, or a date for its end. Now, by default."
    )


class DeltaParameters(QueryModel):
    file_format: Literal["json", "csv", "parquet"] = Field(default="json", alias="format")

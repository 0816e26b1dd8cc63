"""API models and query parameters of exports."""

from typing import Literal

from bookwheel_contracts.exports import Export
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from pydantic import Field


class ExportList(Contract):
    items: tuple[Export, ...]
    next: str | None


class RequestedExport(Contract):
    """A requested export. Its `version` will be at least `at_least`."""

    at_least: int


class SnapshotParameters(QueryModel):
    as_of: str | None = Field(
        default=None,
        max_length=40,
        description="A past RFC 3339 time, or a date for the end of that day. Default: now.",
    )


class DeltaParameters(QueryModel):
    file_format: Literal["json", "csv", "parquet"] = Field(default="json", alias="format")

"""Versions of the whole catalog for download: made by the processor, listed and served by the catalog service."""

from typing import Literal

from pydantic import Field

from bookwheel_contracts.model import Contract, Timestamp


class ExportRequest(Contract):
    """Make a version of the catalog as it is after the change `version` of the feed."""

    version: int = Field(ge=0)
    requested_by: str
    requested_at: Timestamp
    traceparent: str


class ExportFile(Contract):
    """`path` is the file's place in the lake and, below `/api/v1/`, in the API. `source` is set where it holds one
    source only. `sha256` is of its bytes, which never change, and `rows` without a head line.
    """

    path: str
    format: Literal["csv", "parquet"]
    table: Literal["books", "offers", "categories", "dictionary"]
    source: str | None = None
    rows: int = Field(ge=0)
    size: int = Field(ge=0)
    sha256: str


class Export(Contract):
    """A version: `version` is the sequence of the last change in it. It and its files never change."""

    version: int = Field(ge=0)
    created_at: Timestamp
    books: int = Field(ge=0)
    offers: int = Field(ge=0)
    files: tuple[ExportFile, ...]

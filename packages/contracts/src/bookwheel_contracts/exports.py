"""Exports: versions of the whole catalog for download."""

from typing import Literal

from pydantic import Field

from bookwheel_contracts.model import Contract, Timestamp


class ExportRequest(Contract):
    """Requests an export of the catalog after the change `version` of the feed."""

    version: int = Field(ge=0)
    requested_by: str
    requested_at: Timestamp
    traceparent: str


class ExportFile(Contract):
    """`path` is relative to the lake and, in the API, to `/api/v1/`. `source` is set for a file of one source.

    `sha256` is the checksum of its bytes, which never change. `rows` does not count a header line.
    """

    path: str
    format: Literal["csv", "parquet"]
    table: Literal["books", "offers", "categories", "dictionary"]
    source: str | None = None
    rows: int = Field(ge=0)
    size: int = Field(ge=0)
    sha256: str


class Export(Contract):
    """An export is immutable. `version` is the sequence of its last change."""

    version: int = Field(ge=0)
    created_at: Timestamp
    books: int = Field(ge=0)
    offers: int = Field(ge=0)
    files: tuple[ExportFile, ...]

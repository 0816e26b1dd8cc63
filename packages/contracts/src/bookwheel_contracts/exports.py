"""Exports: versions of the whole catalog for download."""

from typing import Literal

from pydantic import Field

from bookwheel_contracts.model import Contract, Timestamp


class ExportRequest(Contract):
    """A request for an export of the catalog as of the change with the sequence `version`."""

    version: int = Field(ge=0)
    requested_by: str
    requested_at: Timestamp
    traceparent: str


class ExportFile(Contract):
    """`path` is relative to the lake and, in the API, to `/api/v1/`. `source` is set if the file has one source only.

    The bytes never change; `sha256` is their checksum. `rows` excludes the header row. The table `dictionary` describes
    the columns of the other tables.
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

"""Opens lakes of tests, and reads their tables with a plain Delta reader."""

from pathlib import Path
from typing import Any

import pytest
from bookwheel_stores.lake import Lake, LakeAddress
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from bookwheel_testing.engines import S3Store
from bookwheel_testing.gcs_emulator import GcsStore


def s3_lake(store: S3Store, endpoint: str | None = None) -> Lake:
    """Returns a lake in the bucket. `endpoint`: the URL of a proxy in front of the store."""
    url = f"s3://{store.bucket}/books"
    return Lake(LakeAddress(url, endpoint or store.endpoint, "us-east-1", store.access_key, store.secret_key))


def gcs_lake(store: GcsStore) -> Lake:
    return Lake(LakeAddress(f"gs://{store.bucket}/books", store.endpoint))


def open_lake(kind: str, request: pytest.FixtureRequest, folder: Path) -> Lake:
    """Opens an empty lake: `folder`, `s3` or `gcs`."""
    if kind == "folder":
        return Lake(LakeAddress(folder.as_uri()))
    return s3_lake(request.getfixturevalue("s3")) if kind == "s3" else gcs_lake(request.getfixturevalue("gcs"))


def lake_rows(lake: Lake, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """Returns the rows of a Delta table. Empty if the table does not exist."""
    address = lake.address
    try:
        loaded = DeltaTable(address.table_url(table), storage_options=address.storage_options())
    except TableNotFoundError:
        return []
    rows: list[dict[str, Any]] = loaded.to_pyarrow_table(columns=columns).to_pylist()
    return rows

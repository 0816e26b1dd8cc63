"""Lakes of tests, and the rows of their tables as any reader sees them."""

from typing import Any

from bookwheel_stores.lake import Lake, LakeAddress
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from bookwheel_testing.engines import S3Store
from bookwheel_testing.gcs_emulator import GcsStore


def s3_lake(store: S3Store, endpoint: str | None = None) -> Lake:
    """`endpoint` is that of a proxy in front of the store."""
    url = f"s3://{store.bucket}/books"
    return Lake(LakeAddress(url, endpoint or store.endpoint, "us-east-1", store.access_key, store.secret_key))


def gcs_lake(store: GcsStore) -> Lake:
    return Lake(LakeAddress(f"gs://{store.bucket}/books", store.endpoint))


def lake_rows(lake: Lake, table: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows of a Delta table; none where there is no table yet."""
    address = lake.address
    try:
        loaded = DeltaTable(address.table_url(table), storage_options=address.storage_options())
    except TableNotFoundError:
        return []
    rows: list[dict[str, Any]] = loaded.to_pyarrow_table(columns=columns).to_pylist()
    return rows

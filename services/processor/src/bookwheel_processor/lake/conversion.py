"""Converts a lake from the old format (plain Parquet files) to Delta Lake."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

import pyarrow.parquet as pq
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.lake import Lake, LakeError
from bookwheel_stores.lake.bronze import Bronze
from bookwheel_stores.streams import StreamEntry

from bookwheel_processor.lake.silver_projection import SilverProjection

_OLD_BRONZE_PATH = re.compile(r"(bronze/source=[^/]+/date=[^/]+)/[^/]+\.parquet")
_OLD_SILVER_PATH = re.compile(
    r"silver/(catalogue|books/source=[^/]+|observations/source=[^/]+/date=[^/]+)/\d{12}-\d{12}\.parquet"
    r"|silver/observations\.json"
)
_BATCH_ROWS, _BATCH_BYTES = 2000, 16 << 20
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion. It `is_complete` if no old file remains."""

    added_entries: int
    removed_files: int
    is_complete: bool


def convert_lake(lake: Lake, silver: SilverProjection, *, seconds: float) -> Conversion:
    """Convert bronze one source and day at a time, for at most about `seconds`; then write silver from the change feed.

    Old bronze files are removed after all of their entries are verified to be in bronze. Old silver files are removed
    after silver is written again. Exports are not changed. Idempotent: if the process is killed, the next call
    continues. Raises LakeError.
    """
    bronze, deadline = Bronze(lake), monotonic() + seconds
    paths_by_partition: dict[str, list[str]] = defaultdict(list)
    for file in lake.list("bronze"):
        if match := _OLD_BRONZE_PATH.fullmatch(file.path):
            paths_by_partition[match[1]].append(file.path)
    silver_files = [file.path for file in lake.list("silver") if _OLD_SILVER_PATH.fullmatch(file.path)]
    added_entries = removed_files = 0
    for partition, paths in sorted(paths_by_partition.items()):
        if monotonic() > deadline:
            return Conversion(added_entries, removed_files, is_complete=False)
        added_entries += sum(bronze.add(batch) for batch in _batches(lake, paths))
        _verify(lake, bronze, paths)
        lake.delete(paths)
        removed_files += len(paths)
        logger.info("bronze partition converted", partition=partition, files=len(paths))
    if silver_files:
        silver.append_observations()
        silver.refresh_books()
        lake.delete(silver_files)
        logger.info("silver converted", files=len(silver_files))
    return Conversion(added_entries, removed_files + len(silver_files), is_complete=True)


def _verify(lake: Lake, bronze: Bronze, paths: Sequence[str]) -> None:
    """Raise LakeError unless bronze has each entry of the files with the same bytes."""
    bronze.table.load()
    for batch in _batches(lake, paths):
        missing = {entry.id: entry.body for entry in batch}
        for rows in bronze.read_entries(batch, columns="entry_id, body"):
            for row in rows.to_pylist():
                if missing.get(row["entry_id"]) == row["body"]:
                    del missing[row["entry_id"]]
        if missing:
            raise LakeError(f"{len(missing)} entries of the old files are not in bronze; the first is {min(missing)}")


def _batches(lake: Lake, paths: Sequence[str]) -> Iterator[list[StreamEntry]]:
    entries: list[StreamEntry] = []
    size = 0
    for path in paths:
        with lake.open(path) as file:
            for rows in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=["entry_id", "body"]):
                for row in rows.to_pylist():
                    entries.append(StreamEntry(row["entry_id"], row["body"], 1))
                    size += len(row["body"])
                    if len(entries) == _BATCH_ROWS or size > _BATCH_BYTES:
                        yield entries
                        entries, size = [], 0
    if entries:
        yield entries

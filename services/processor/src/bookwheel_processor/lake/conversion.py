"""Converts a lake of a version before Delta Lake: Parquet files that are named after what they hold."""

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

_BRONZE = re.compile(r"(bronze/source=[^/]+/date=[^/]+)/[^/]+\.parquet")
_SILVER = re.compile(
    r"silver/(catalogue|books/source=[^/]+|observations/source=[^/]+/date=[^/]+)/\d{12}-\d{12}\.parquet"
    r"|silver/observations\.json"
)
_ROWS, _BYTES = 2000, 16 << 20
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Conversion:
    """The entries added to bronze, the old files removed, and whether no old file remains."""

    entries: int
    files: int
    is_complete: bool


def convert_lake(lake: Lake, silver: SilverProjection, *, seconds: float) -> Conversion:
    """Adds the old files' entries to bronze, a source and day at a time, until `seconds` have passed; then writes
    silver from the change feed. Idempotent: after a kill it continues. Exports are left as they are.

    An old file is removed once all its content is found in the tables. Raises LakeError.
    """
    bronze, deadline = Bronze(lake), monotonic() + seconds
    days: dict[str, list[str]] = defaultdict(list)
    for file in lake.list("bronze"):
        if match := _BRONZE.fullmatch(file.path):
            days[match[1]].append(file.path)
    silver_files = [file.path for file in lake.list("silver") if _SILVER.fullmatch(file.path)]
    entries = files = 0
    for day, paths in sorted(days.items()):
        if monotonic() > deadline:
            return Conversion(entries, files, is_complete=False)
        entries += sum(bronze.add(batch) for batch in _batches(lake, paths))
        _verify(lake, bronze, paths)
        lake.delete(paths)
        files += len(paths)
        logger.info("bronze day converted", day=day, files=len(paths))
    if silver_files:
        silver.observe()
        silver.refresh_books()
        lake.delete(silver_files)
        logger.info("silver converted", files=len(silver_files))
    return Conversion(entries, files + len(silver_files), is_complete=True)


def _verify(lake: Lake, bronze: Bronze, paths: Sequence[str]) -> None:
    """Raises LakeError unless bronze holds each entry of the files, byte for byte."""
    bronze.table.load()
    for batch in _batches(lake, paths):
        missing = {entry.id: entry.body for entry in batch}
        for rows in bronze.stored(batch, columns="entry_id, body"):
            for row in rows.to_pylist():
                if missing.get(row["entry_id"]) == row["body"]:
                    del missing[row["entry_id"]]
        if missing:
            raise LakeError(f"{len(missing)} entries of the old files are not in bronze, {min(missing)} first")


def _batches(lake: Lake, paths: Sequence[str]) -> Iterator[list[StreamEntry]]:
    entries: list[StreamEntry] = []
    size = 0
    for path in paths:
        with lake.open(path) as file:
            for rows in pq.ParquetFile(file).iter_batches(_ROWS, columns=["entry_id", "body"]):
                for row in rows.to_pylist():
                    entries.append(StreamEntry(row["entry_id"], row["body"], 1))
                    size += len(row["body"])
                    if len(entries) == _ROWS or size > _BYTES:
                        yield entries
                        entries, size = [], 0
    if entries:
        yield entries

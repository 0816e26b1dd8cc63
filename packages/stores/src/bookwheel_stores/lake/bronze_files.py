"""Names of bronze's files, and which minutes of their day they hold."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import pyarrow as pa
import pyarrow.parquet as pq

from bookwheel_stores.lake.files import Lake, LakeFile

FOLDER = "bronze"
SCHEMA = pa.schema(
    [
        pa.field("entry_id", pa.string(), nullable=False),
        pa.field("received_at", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("kind", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("item_number", pa.int64()),
        pa.field("body", pa.binary(), nullable=False),
    ]
)
_OF_A_MINUTE = re.compile(r"(\d{4})-.*\.\d+\.parquet")
_MERGED = re.compile(r"merged-(\d{4})-(\d{4})-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True, slots=True)
class BronzeFile:
    """`first` and `last` are the minutes, `HHMM`, between which its entries were received: of a file that is not merged
    one and the same."""

    file: LakeFile
    first: str
    last: str
    is_merged: bool

    @property
    def path(self) -> str:
        return self.file.path

    def covers(self, other: "BronzeFile") -> bool:
        return self.first <= other.first and other.last <= self.last


def bronze_files(files: Iterable[LakeFile]) -> list[BronzeFile]:
    """What is named otherwise is not ours, and left out."""
    return [one for file in files if (one := _bronze_file(file)) is not None]


def merged_name(first: str, last: str, entry_ids: Iterable[str]) -> str:
    """Follows from what the file holds: other entries, another name."""
    digest = blake2b(digest_size=8)
    for entry_id in sorted(entry_ids):
        digest.update(entry_id.encode() + b"\n")
    return f"merged-{first}-{last}-{digest.hexdigest()}.parquet"


def entry_ids(lake: Lake, path: str) -> pa.ChunkedArray:
    with lake.open(path) as opened:
        return pq.read_table(opened, columns=["entry_id"])["entry_id"]


def _bronze_file(file: LakeFile) -> BronzeFile | None:
    name = file.path.rpartition("/")[2]
    if found := _MERGED.fullmatch(name):
        return BronzeFile(file, found[1], found[2], is_merged=True)
    if found := _OF_A_MINUTE.fullmatch(name):
        return BronzeFile(file, found[1], found[1], is_merged=False)
    return None

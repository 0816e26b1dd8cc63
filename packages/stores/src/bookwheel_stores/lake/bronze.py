"""Bronze: the raw stream's entries as they were received, by source and day."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bookwheel_stores.lake.files import Lake, LakeFile
from bookwheel_stores.lake.partitions import partition_value
from bookwheel_stores.streams import StreamEntry

FOLDER = "bronze"
_LARGEST = 2 << 20
"""Bytes of a file to which nothing more is added: it is read and written whole for that."""
_UNKNOWN = "_unknown"
_SCHEMA = pa.schema(
    [
        pa.field("entry_id", pa.string(), nullable=False),
        pa.field("received_at", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("kind", pa.string()),
        pa.field("run_id", pa.string()),
        pa.field("item_number", pa.int64()),
        pa.field("body", pa.binary(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Bronze:
    """`bronze/source=…/date=…/HHMM-<consumer>.parquet`: what one consumer received within a minute.

    An entry's file follows from the entry alone (the time in its id, its source) and from who writes it, so one that is
    delivered again is found where it was put the first time, and is put there once. Two consumers never write the same
    file.
    """

    lake: Lake
    consumer: str

    def add(self, entries: Sequence[StreamEntry]) -> int:
        """Keeps the entries that are not kept yet; returns how many those are. Idempotent. Raises LakeError."""
        windows: dict[str, list[StreamEntry]] = defaultdict(list)
        for entry in entries:
            windows[_window(entry)].append(entry)
        return sum(self._add(window, found) for window, found in sorted(windows.items()))

    def _add(self, window: str, entries: Iterable[StreamEntry]) -> int:
        folder, _, minute = window.rpartition("/")
        present = [file for file in self.lake.list(folder) if file.path.startswith(f"{window}-")]
        fresh = {entry.id: entry for entry in entries}
        for file in present:
            for entry_id in self._kept(file, list(fresh)):
                del fresh[entry_id]
        if not fresh:
            return 0
        table = pa.Table.from_pylist([_row(entry) for entry in fresh.values()], schema=_SCHEMA)
        own = [file for file in present if self._part(file, minute) is not None]
        last = max(own, key=lambda file: self._part(file, minute) or 0, default=None)
        part = 1
        if last is not None:
            part = self._part(last, minute) or 1
            if last.size < _LARGEST:
                with self.lake.open(last.path) as opened:
                    table = pa.concat_tables([pq.read_table(opened), table]).sort_by("entry_id")
            else:
                part += 1
        with self.lake.writing(f"{folder}/{self._name(minute, part)}") as made:
            pq.write_table(table, made, compression="zstd")
        return len(fresh)

    def _kept(self, file: LakeFile, entry_ids: list[str]) -> list[str]:
        with self.lake.open(file.path) as opened:
            column = pq.read_table(opened, columns=["entry_id"])["entry_id"]
        asked = pa.array(entry_ids, pa.string())
        kept: list[str] = asked.filter(pc.is_in(asked, value_set=column)).to_pylist()
        return kept

    def _name(self, minute: str, part: int) -> str:
        return f"{minute}-{partition_value(self.consumer)}.{part}.parquet"

    def _part(self, file: LakeFile, minute: str) -> int | None:
        """The number of one of this consumer's own files of that minute."""
        name = file.path.rpartition("/")[2]
        number = name.removesuffix(".parquet").rpartition(".")[2]
        return int(number) if number.isdecimal() and name == self._name(minute, int(number)) else None


def _window(entry: StreamEntry) -> str:
    moment = _received_at(entry)
    source = _SOURCE.search(_head(entry))
    name = source[1].decode() if source else _UNKNOWN
    return f"{FOLDER}/source={partition_value(name)}/date={moment:%Y-%m-%d}/{moment:%H%M}"


def _received_at(entry: StreamEntry) -> datetime:
    return datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, UTC)


# Writers put these first, and bronze takes what it finds: to parse an entry is the processor's work, and may fail.
_KIND = re.compile(rb'\A\s*\{\s*"kind"\s*:\s*"([a-z_]{1,30})"')
_RUN_ID = re.compile(rb'"run_id"\s*:\s*"([A-Za-z0-9_.:-]{1,512})"')
_ITEM_NUMBER = re.compile(rb'"item_number"\s*:\s*([1-9][0-9]{0,17})\s*[,}]')
_SOURCE = re.compile(rb'"source"\s*:\s*"([A-Za-z0-9_.-]{1,100})"')
_HEAD = 4096


def _head(entry: StreamEntry) -> bytes:
    return entry.body[:_HEAD].partition(b'"payload"')[0]


def _row(entry: StreamEntry) -> dict[str, object]:
    head = _head(entry)
    kind, run_id, number = _KIND.search(head), _RUN_ID.search(head), _ITEM_NUMBER.search(head)
    return {
        "entry_id": entry.id,
        "received_at": _received_at(entry),
        "kind": kind[1].decode() if kind else None,
        "run_id": run_id[1].decode() if run_id else None,
        "item_number": int(number[1]) if number else None,
        "body": entry.body,
    }

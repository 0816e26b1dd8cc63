"""Bronze: the raw stream's entries as they were received, by source and day."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from bookwheel_contracts.message_head import read_head

from bookwheel_stores.lake.bronze_files import FOLDER, SCHEMA, bronze_files, entry_ids
from bookwheel_stores.lake.files import Lake, LakeFile
from bookwheel_stores.lake.partitions import partition_value
from bookwheel_stores.streams import StreamEntry

_LARGEST = 2 << 20
"""Bytes of a file to which nothing more is added: it is read and written whole for that."""
_UNKNOWN = "_unknown"


@dataclass(frozen=True, slots=True)
class Bronze:
    """`bronze/source=…/date=…/HHMM-<consumer>.parquet`: what one consumer received within a minute.

    An entry's file follows from the entry alone (the time in its id, its source) and from who writes it, so one that is
    delivered again is found where it was put the first time, and is put there once. Two consumers never write the same
    file. A day that is over is merged (see `bronze_merge`): then it is found in the file that holds its minute.
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
        found = [one for one in bronze_files(self.lake.list(folder)) if one.first <= minute <= one.last]
        present = [one.file for one in found]
        is_merged = any(one.is_merged for one in found)
        fresh = {entry.id: entry for entry in entries}
        for file in present:
            for entry_id in self._kept(file, list(fresh)):
                del fresh[entry_id]
        if not fresh:
            return 0
        table = pa.Table.from_pylist([_row(entry) for entry in fresh.values()], schema=SCHEMA)
        own = [file for file in present if self._part(file, minute) is not None]
        last = max(own, key=lambda file: self._part(file, minute) or 0, default=None)
        part = 1
        if last is not None:
            part = self._part(last, minute) or 1
            if last.size < _LARGEST and not is_merged:  # else it may be about to go, for what it held before
                with self.lake.open(last.path) as opened:
                    table = pa.concat_tables([pq.read_table(opened), table]).sort_by("entry_id")
            else:
                part += 1
        with self.lake.writing(f"{folder}/{self._name(minute, part)}") as made:
            pq.write_table(table, made, compression="zstd")
        return len(fresh)

    def _kept(self, file: LakeFile, asked_for: list[str]) -> list[str]:
        column = entry_ids(self.lake, file.path)
        asked = pa.array(asked_for, pa.string())
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
    name = read_head(entry.body).source or _UNKNOWN
    return f"{FOLDER}/source={partition_value(name)}/date={moment:%Y-%m-%d}/{moment:%H%M}"


def _received_at(entry: StreamEntry) -> datetime:
    return datetime.fromtimestamp(int(entry.id.partition("-")[0]) / 1000, UTC)


def _row(entry: StreamEntry) -> dict[str, object]:
    head = read_head(entry.body)
    return {
        "entry_id": entry.id,
        "received_at": _received_at(entry),
        "kind": head.kind,
        "run_id": head.run_id,
        "item_number": head.item_number,
        "body": entry.body,
    }

"""Merges bronze's small files of a day that is over."""

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from bookwheel_stores.lake.bronze_files import FOLDER, SCHEMA, BronzeFile, bronze_files, entry_ids, merged_name
from bookwheel_stores.lake.compaction import GRACE
from bookwheel_stores.lake.files import Lake, LakeError

_LARGEST = 64 << 20
"""Bytes of the small files that go into one: some hundred thousand entries, whose ids are held in memory."""
_ROWS_AT_ONCE, _BYTES_AT_ONCE = 1000, 16 << 20
_SECONDS = 60.0


class BronzeMerge:
    """A merged file is published first, under a name that no other content has, and never changed. What it holds is
    deleted once it has been there for the readers' grace, and after a look into both: so whoever is killed in between,
    and whoever adds a late entry, loses nothing, and a file that is left over is recognized by what it holds.
    """

    def __init__(self, lake: Lake, *, largest: int = _LARGEST) -> None:
        self._lake = lake
        self._largest = largest

    def run(self, *, before: date, now: datetime, seconds: float = _SECONDS) -> int:
        """Merges what was received before that day, as far as it comes in `seconds`; returns how many files were made.

        Raises LakeError: what is done by then stays done.
        """
        deadline = time.monotonic() + seconds
        made = 0
        for folder, files in self._days(before):
            for group in _groups(self._current(files, now), self._largest):
                if time.monotonic() > deadline:
                    return made
                if len(group) > 1:
                    self._merge(folder, group)
                    made += 1
        return made

    def _days(self, before: date) -> list[tuple[str, list[BronzeFile]]]:
        """The files of each source and day, without the days where nothing is to be merged or deleted."""
        days: dict[str, list[BronzeFile]] = defaultdict(list)
        for one in bronze_files(self._lake.list(FOLDER)):
            days[one.path.rpartition("/")[0]].append(one)
        return [
            (folder, files)
            for folder, files in sorted(days.items())
            if folder.rpartition("/date=")[2] < before.isoformat()
            and any(len(group) > 1 for group in _groups(files, self._largest))
        ]

    def _current(self, files: Sequence[BronzeFile], now: datetime) -> list[BronzeFile]:
        """Those with an entry that no merged one holds; the others go where their grace is over."""
        replaced: set[str] = set()
        for one, merged in held_twice(self._lake, files):
            replaced.add(one.path)
            if merged.file.modified < now - GRACE:
                self._lake.delete([one.path])
        return [one for one in files if one.path not in replaced]

    def _merge(self, folder: str, files: Sequence[BronzeFile]) -> None:
        left: set[str] = set()
        for one in files:
            left.update(entry_ids(self._lake, one.path).to_pylist())
        name = merged_name(min(one.first for one in files), max(one.last for one in files), left)
        with self._lake.writing(f"{folder}/{name}") as made:
            with pq.ParquetWriter(made, SCHEMA, compression="zstd") as writer:
                waiting: list[pa.RecordBatch] = []
                for one in files:
                    with self._lake.open(one.path) as opened:
                        for batch in pq.ParquetFile(opened).iter_batches(_ROWS_AT_ONCE):
                            waiting.append(_only(batch, left))
                            if sum(each.nbytes for each in waiting) > _BYTES_AT_ONCE:
                                _write(writer, waiting)
                                waiting.clear()
                _write(writer, waiting)
            if left:
                raise LakeError(f"{len(left)} entries of {folder} went while they were merged")


def held_twice(lake: Lake, files: Sequence[BronzeFile]) -> Iterator[tuple[BronzeFile, BronzeFile]]:
    """Of a source's files of one day each that a merged one holds whole, with that one, as soon as it is found."""
    found: set[str] = set()
    for merged in files:
        covered = [one for one in files if one is not merged and merged.covers(one) and one.path not in found]
        if not merged.is_merged or merged.path in found or not covered:
            continue
        held = set(entry_ids(lake, merged.path).to_pylist())
        for one in covered:
            if held.issuperset(entry_ids(lake, one.path).to_pylist()):
                found.add(one.path)
                yield one, merged


def _groups(files: Sequence[BronzeFile], largest: int) -> list[list[BronzeFile]]:
    """What belongs into one file: what overlaps, and neighbours that are not merged yet, up to `largest` bytes."""
    groups: list[list[BronzeFile]] = []
    for one in sorted(files, key=lambda one: (one.first, one.path)):
        if groups and _joins(groups[-1], one, largest):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _joins(group: Sequence[BronzeFile], one: BronzeFile, largest: int) -> bool:
    if one.first <= max(each.last for each in group):
        return True
    is_new = not one.is_merged and not any(each.is_merged for each in group)
    return is_new and one.file.size + sum(each.file.size for each in group) <= largest


def _only(batch: pa.RecordBatch, left: set[str]) -> pa.RecordBatch:
    """The rows whose ids are left; their ids are not any more."""
    found = batch["entry_id"].to_pylist()
    kept = batch.filter(pa.array([entry_id in left for entry_id in found], pa.bool_()))
    left.difference_update(found)
    return kept


def _write(writer: pq.ParquetWriter, batches: Sequence[pa.RecordBatch]) -> None:
    if batches:
        writer.write_table(pa.Table.from_batches(batches).cast(SCHEMA).sort_by("entry_id"))

"""Merges the small files of observations, and tells which files together hold each observation once."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from bookwheel_stores.lake.files import Lake, LakeFile
from bookwheel_stores.lake.silver import BUCKET, COMPRESSION, OBSERVATIONS, range_text, up_to_of

MERGED = 100
"""Buckets in a merged file, at most."""
FILE_LIST = "silver/observations.json"
GRACE = timedelta(minutes=10)
"""How long merged files stay after the list names the one that replaces them: readers may be at work on them."""


class Compaction:
    """A merged file is published before the list names it, and the list before the small ones go: whoever reads by the
    list finds every observation once, and whoever dies in between has only delayed the rest.
    """

    def __init__(self, lake: Lake, *, bucket: int = BUCKET, merged: int = MERGED) -> None:
        self._lake = lake
        self._bucket = bucket
        self._merged = merged

    def run(self, *, up_to: int, now: datetime, write_again: Callable[[int], None] = lambda _: None) -> int:
        """Merges what holds changes up to the sequence only, of a day that is over as far as there is something;
        returns how many files were made.

        `write_again` is told of a sequence where the file that begins after it holds less than the caller has written:
        a writer that was overtaken has put an older one in its place. Such a one is merged with no other.
        """
        made, whole = 0, up_to
        for (folder, group), found in self._groups().items():
            is_full = (group + 1) * self._bucket * self._merged <= up_to
            is_over = folder.rpartition("/date=")[2] < now.date().isoformat()
            files, _ = without_replaced([file for file in found if file_range(file)[1] <= up_to])
            if len(files) > 1 and (is_full or is_over):
                first, last = file_range(files[0])[0], file_range(files[-1])[1]
                if is_full:
                    first, last = group * self._bucket * self._merged + 1, (group + 1) * self._bucket * self._merged
                tables = [self._read(file) for file in files]
                if behind := [file for file, table in zip(files, tables, strict=True) if _is_behind(file, table)]:
                    whole = min(whole, file_range(behind[0])[0] - 1)
                    write_again(whole)
                    continue
                self._merge(f"{folder}/{range_text(first, last)}.parquet", tables)
                made += 1
        self.write_list(whole)
        self._delete_replaced(now)
        return made

    def write_list(self, sequence: int) -> None:
        """The list of the files that hold every observation up to the sequence once."""
        current, _ = without_replaced(self._lake.list(OBSERVATIONS))
        files = [{"path": file.path, "size": file.size} for file in current]
        content = orjson.dumps({"sequence": sequence, "files": files}, option=orjson.OPT_INDENT_2)
        if self._lake.size(FILE_LIST) is None or self._lake.read(FILE_LIST) != content:
            self._lake.write(FILE_LIST, content)

    def _groups(self) -> dict[tuple[str, int], list[LakeFile]]:
        groups: dict[tuple[str, int], list[LakeFile]] = defaultdict(list)
        for file in self._lake.list(OBSERVATIONS):
            first, _ = file_range(file)
            folder = file.path.rpartition("/")[0]
            groups[folder, (first - 1) // (self._bucket * self._merged)].append(file)
        return groups

    def _read(self, file: LakeFile) -> pa.Table:
        with self._lake.open(file.path) as opened:
            return pq.read_table(opened)

    def _merge(self, target: str, tables: Sequence[pa.Table]) -> None:
        together = pa.concat_tables([table.replace_schema_metadata() for table in tables])
        with self._lake.writing(target) as made:
            pq.write_table(together.sort_by("sequence"), made, compression=COMPRESSION)

    def _delete_replaced(self, now: datetime) -> None:
        current, replaced = without_replaced(self._lake.list(OBSERVATIONS))
        published = {file.path: file.modified for file in current}
        old = [path for path, by in replaced.items() if published[by] < now - GRACE]
        self._lake.delete(old)


def _is_behind(file: LakeFile, table: pa.Table) -> bool:
    return up_to_of(table) < file_range(file)[1]


def file_range(file: LakeFile) -> tuple[int, int]:
    """The first and the last sequence that the file may hold, by its name."""
    first, _, last = file.path.rpartition("/")[2].removesuffix(".parquet").partition("-")
    return int(first), int(last)


def without_replaced(files: Sequence[LakeFile]) -> tuple[list[LakeFile], dict[str, str]]:
    """The files that no larger one of their folder holds, and for each other the path of the one that does."""
    current: list[LakeFile] = []
    replaced: dict[str, str] = {}
    for file in sorted(files, key=lambda one: (one.path.rpartition("/")[0], file_range(one)[0], -file_range(one)[1])):
        holder = current[-1] if current else None
        is_held = (
            holder is not None
            and holder.path.rpartition("/")[0] == file.path.rpartition("/")[0]
            and file_range(file)[1] <= file_range(holder)[1]
        )
        if is_held and holder is not None:
            replaced[file.path] = holder.path
        else:
            current.append(file)
    return current, replaced

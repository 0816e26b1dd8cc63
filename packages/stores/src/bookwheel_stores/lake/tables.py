"""Delta tables in the lake: commits with a cursor, compaction and vacuum."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from time import monotonic
from urllib.parse import unquote

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, QueryBuilder, Schema, Transaction, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from bookwheel_stores.lake.files import Lake, LakeError, error_text, fsync, lake_errors

RETENTION = timedelta(hours=1)
"""The time for which files outside of the current version are retained, for readers and for slow writers."""
_APP_ID = "bookwheel"
_WRITER = WriterProperties(compression="ZSTD")
_CONFIGURATION = {
    "delta.deletedFileRetentionDuration": "interval 1 hours",
    "delta.logRetentionDuration": "interval 1 days",
}
_COMPACTED_BYTES = 64 << 20
_SMALL_FILES = 100
"""The current day is compacted if it has this many small files, an earlier day if it has two."""
_MAX_FILE_BYTES = 1 << 40
_UNFINISHED_FILE = re.compile(r"#\d+$")


class ConcurrentWriteError(LakeError):
    """Another writer has committed to the table since it was loaded. Load the table again and repeat the work."""


class LakeTable:
    """One Delta table at the loaded version.

    Each commit stores a cursor atomically with its rows. It fails with ConcurrentWriteError if another writer has
    committed since the table was loaded. Work that starts at the loaded cursor therefore takes effect exactly once,
    even if processes are killed or repeat it. Compaction and vacuum do not conflict with writers.
    """

    def __init__(self, lake: Lake, path: str, schema: pa.Schema, *, partition_by: str) -> None:
        self.lake = lake
        self.path = path
        self.schema = schema
        self._partition_by = partition_by
        self._loaded: DeltaTable | None = None

    def load(self) -> int:
        """Loads the latest version and returns its cursor. Creates a missing table. Raises LakeError."""
        url, options = self.lake.address.table_url(self.path), self.lake.address.storage_options()
        with _table_errors(self.path):
            try:
                self._loaded = DeltaTable(url, storage_options=options)
            except TableNotFoundError:
                self._loaded = DeltaTable.create(
                    url,
                    self.schema,
                    mode="ignore",
                    partition_by=self._partition_by,
                    configuration=_CONFIGURATION,
                    storage_options=options,
                )
                self._sync()
            self._add_new_columns(self._loaded)
            return self._loaded.transaction_version(_APP_ID) or 0

    def _add_new_columns(self, table: DeltaTable) -> None:
        """Adds columns that earlier releases did not have. Their values are null in existing rows."""
        columns = {field.name for field in table.schema().fields}
        new_fields = [field for field in self.schema if field.name not in columns]
        if new_fields:
            table.alter.add_columns(Schema.from_arrow(pa.schema(new_fields)).fields)
            self._sync()

    def append(self, rows: pa.Table, *, cursor: int) -> None:
        """Appends rows. If it raises ConcurrentWriteError or LakeError, no row is written."""
        self._write(rows, cursor=cursor, predicate=None)

    def replace(self, rows: pa.Table, predicate: str, *, cursor: int) -> None:
        """Replaces the rows that match the predicate. Raises ConcurrentWriteError, LakeError."""
        self._write(rows, cursor=cursor, predicate=predicate)

    def query(self, sql: str) -> Iterator[pa.RecordBatch]:
        """Runs a query on the loaded version. The name of the table in the query is `rows`."""
        with _table_errors(self.path):
            # pyarrow releases the GIL. The reader of `deltalake` holds it while it waits for the object store.
            yield from pa.RecordBatchReader.from_stream(QueryBuilder().register("rows", self._table).execute(sql))

    def snapshot(self) -> DeltaTable:
        """Returns the loaded version. Load the table again before the next write.

        The files of the version are retained for at least `RETENTION`.
        """
        table, self._loaded = self._table, None
        return table

    def compact(self, *, today: date, seconds: float) -> int:
        """Merges small files day by day until `seconds` have passed. Returns the number of compacted days.

        The table must be partitioned by `date`.
        """
        self.load()
        deadline, compacted = monotonic() + seconds, 0
        with _table_errors(self.path):
            files = pa.table(self._table.get_add_actions(flatten=True))
            days = zip(files["partition.date"].to_pylist(), files["size_bytes"].to_pylist(), strict=True)
            small_files = Counter(day for day, size in days if size < _COMPACTED_BYTES // 2)
            for day, count in sorted(small_files.items()):
                if count >= (2 if day < today else _SMALL_FILES) and monotonic() < deadline:
                    self._table.optimize.compact(
                        partition_filters=[("date", "=", day.isoformat())],
                        target_size=_COMPACTED_BYTES,
                        max_concurrent_tasks=1,
                        writer_properties=_WRITER,
                    )
                    self._sync()
                    compacted += 1
        return compacted

    def vacuum(self) -> int:
        """Deletes files that do not belong to the table and are older than `RETENTION`. Returns their number.

        They include files of writers that were killed.
        """
        self.load()
        hours = int(RETENTION.total_seconds()) // 3600
        with _table_errors(self.path):
            unused = self._table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
            if unused:  # a vacuum without files would still write two commits
                self._table.vacuum(hours, dry_run=False, enforce_retention_duration=False, full=True)
        return len(unused) + self._delete_unfinished()

    def _delete_unfinished(self) -> int:
        """Deletes unfinished files of killed processes in a folder, because `deltalake` does not list them."""
        if self.lake.address.folder is None:
            return 0
        before = datetime.now(UTC) - RETENTION
        files = [
            file for file in self.lake.list(self.path) if _UNFINISHED_FILE.search(file.path) and file.modified < before
        ]
        self.lake.delete([file.path for file in files])
        return len(files)

    def missing_files(self) -> list[str]:
        """Returns files of the latest version that do not exist, for example after an incomplete copy of the lake."""
        self.load()
        with _table_errors(self.path):
            paths = pa.table(self._table.get_add_actions())["path"].to_pylist()
        present = {file.path for file in self.lake.list(self.path)}
        return [path for path in paths if f"{self.path}/{unquote(path)}" not in present]

    @property
    def _table(self) -> DeltaTable:
        if self._loaded is None:
            raise RuntimeError(f"{self.path} is not loaded")
        return self._loaded

    def _write(self, rows: pa.Table, *, cursor: int, predicate: str | None) -> None:
        with _table_errors(self.path):
            write = partial(
                write_deltalake,
                self._table,
                rows.select(self.schema.names).cast(self.schema),
                schema_mode="merge",
                target_file_size=_MAX_FILE_BYTES,
                writer_properties=_WRITER,
                commit_properties=CommitProperties(app_transactions=[Transaction(_APP_ID, cursor)]),
            )
            if predicate is None:
                write(mode="append")
            else:
                write(mode="overwrite", predicate=predicate)
            self._sync()

    def _sync(self) -> None:
        """Flushes the last commit and its files in a folder to the disk, because `deltalake` does not."""
        folder = self.lake.address.folder
        if folder is None:
            return
        root = folder / self.path
        commit = root / "_delta_log" / f"{self._table.version():020}.json"
        actions = map(json.loads, commit.read_bytes().splitlines())
        paths = [root / unquote(action["add"]["path"]) for action in actions if "add" in action]
        for path in [*paths, commit]:
            fsync(path)
        for path in {path.parent for path in [*paths, commit]} | {root, root.parent}:
            fsync(path)


@contextmanager
def _table_errors(path: str) -> Iterator[None]:
    """Converts the errors of `deltalake` to LakeError."""
    try:
        with lake_errors(path):
            yield
    except CommitFailedError as error:
        raise ConcurrentWriteError(f"another writer has committed to {path}: {error_text(error)}") from error
    except (DeltaError, pa.ArrowException) as error:
        raise LakeError(f"the lake failed at {path}: {error_text(error)}") from error

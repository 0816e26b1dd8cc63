"""Lists exports and reads their files, requests new exports, and selects snapshots and deltas."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from bookwheel_contracts.exports import Export, ExportFile, ExportRequest
from bookwheel_contracts.problems import ConflictError, NotFoundError, UnavailableError
from bookwheel_contracts.redis_keys import EXPORT_STREAM
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.lake import Lake, LakeError, LakeFileNotFoundError
from bookwheel_stores.lake.export_writer import export_versions, manifest_path, read_export
from bookwheel_stores.records.feed.snapshots import Snapshot, SnapshotReader
from bookwheel_stores.streams import StreamWriter
from redis import Redis

from bookwheel_catalog.exports.byte_ranges import ByteRange
from bookwheel_catalog.search.parsing import parse_time

_CHUNK_BYTES = 256 * 1024
_MAX_CACHED_EXPORTS = 256
_LAKE_UNAVAILABLE = "The lake is unavailable: retry later."
_LAKE_RETRY_AFTER = 5


class ExportService:
    """Caches the manifests of exports, because an export never changes."""

    def __init__(self, lake: Lake, snapshots: SnapshotReader, redis: Redis) -> None:
        self.snapshots = snapshots
        self._lake = lake
        self._redis = redis
        self._load = lru_cache(maxsize=_MAX_CACHED_EXPORTS)(self._load_uncached)

    def list_latest(self, *, before: int | None, limit: int) -> list[Export]:
        """Returns up to `limit` exports with a version lower than `before`, newest first. Raises UnavailableError."""
        try:
            versions = [version for version in export_versions(self._lake) if before is None or version < before]
            return [self._load(version) for version in versions[:limit]]
        except LakeError as error:
            raise UnavailableError(_LAKE_UNAVAILABLE, retry_after=_LAKE_RETRY_AFTER) from error

    def get(self, version: int) -> Export:
        """Returns the export. Raises NotFoundError or UnavailableError."""
        try:
            if self._lake.size(manifest_path(version)) is None:  # a removed export may still be cached
                raise LakeFileNotFoundError(f"export {version} does not exist")
            return self._load(version)
        except LakeFileNotFoundError as error:
            raise NotFoundError(f"Export {version} does not exist.") from error
        except LakeError as error:
            raise UnavailableError(_LAKE_UNAVAILABLE, retry_after=_LAKE_RETRY_AFTER) from error

    def get_file(self, version: int, path: str) -> ExportFile:
        """Returns the export's file at this path of the lake. Raises NotFoundError or UnavailableError."""
        for file in self.get(version).files:
            if file.path == path:
                return file
        raise NotFoundError(f"The file does not exist in export {version}.")

    def read_file(self, file: ExportFile, byte_range: ByteRange) -> Iterator[bytes]:
        """Returns an iterator over the chunks of a byte range. Raises NotFoundError or UnavailableError when called."""
        try:
            file_handle = self._lake.open(file.path)
        except LakeFileNotFoundError as error:
            raise NotFoundError("The export has been removed: use a newer export.") from error
        except LakeError as error:
            raise UnavailableError(_LAKE_UNAVAILABLE, retry_after=_LAKE_RETRY_AFTER) from error
        return _read_chunks(file_handle, byte_range)

    def submit(self, *, requested_by: str) -> int:
        """Requests an export of the latest sequence unless it exists. Returns its version, which is that sequence.

        Raises UnavailableError for the lake, RedisError.
        """
        latest_sequence = self.snapshots.head()
        if any(export.version == latest_sequence for export in self.list_latest(before=None, limit=1)):
            return latest_sequence
        request = ExportRequest(
            version=latest_sequence,
            requested_by=requested_by,
            requested_at=datetime.now(UTC),
            traceparent=current_traceparent(),
        )
        StreamWriter(self._redis, EXPORT_STREAM).publish([request.model_dump_json()])
        return latest_sequence

    def snapshot_as_of(self, as_of: str | None) -> Snapshot:
        """Returns the snapshot as of a time, or the latest snapshot without a time.

        Raises InvalidParameterError, or ConflictError if an older release stored changes of that time without the book.
        """
        if as_of is None:
            return Snapshot(sequence=self.snapshots.head())
        timestamp = parse_time("as_of", as_of, end_of_day=True)
        if timestamp > datetime.now(UTC):
            raise invalid_field("as_of", "in_the_future", "must not be in the future")
        snapshot = Snapshot(moment=timestamp)
        if not self.snapshots.has_all_contents(snapshot):
            detail = (
                f"The catalog as of {as_of} is unavailable: "
                "an older release stored changes of that time without the book."
            )
            raise ConflictError(detail)
        return snapshot

    def check_delta(self, earlier: int, later: int) -> None:
        """Checks that a delta is available. Raises InvalidParameterError, NotFoundError or ConflictError."""
        if earlier > later:
            raise invalid_field("earlier", "out_of_order", "must not be greater than the later sequence")
        latest_sequence = self.snapshots.head()
        if later > latest_sequence:
            raise NotFoundError(f"Sequence {later} does not exist yet: the latest sequence is {latest_sequence}.")
        for sequence in (earlier, later):
            if not self.snapshots.has_all_contents(Snapshot(sequence=sequence)):
                raise ConflictError(
                    f"The catalog as of sequence {sequence} is unavailable: "
                    "an older release stored changes of that time without the book."
                )

    def _load_uncached(self, version: int) -> Export:
        export = read_export(self._lake, version)
        if export is None:
            raise LakeFileNotFoundError(f"export {version} does not exist")
        return export


def _read_chunks(file_handle: Any, byte_range: ByteRange) -> Iterator[bytes]:
    with file_handle as file:
        file.seek(byte_range.start)
        remaining = byte_range.end - byte_range.start
        while remaining > 0:
            chunk: bytes = file.read(min(remaining, _CHUNK_BYTES))
            if not chunk:
                raise LakeError("the file in the lake is shorter than its manifest says")
            remaining -= len(chunk)
            yield chunk

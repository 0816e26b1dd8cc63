"""Versions of the catalog for download: their files, snapshots, deltas, and requests for a new version."""

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
from redis.exceptions import RedisError

from bookwheel_catalog.exports.byte_ranges import ByteRange
from bookwheel_catalog.search.parameters import parse_time

_CHUNK_BYTES = 256 * 1024
_MAX_CACHED_EXPORTS = 256
_LAKE_UNAVAILABLE = "The lake is unavailable: retry later."
_LAKE_RETRY_AFTER = 5


class ExportService:
    """Versions never change while they exist, so their file lists are cached."""

    def __init__(self, lake: Lake, snapshots: SnapshotReader, redis: Redis) -> None:
        self.snapshots = snapshots
        self._lake = lake
        self._redis = redis
        self._load = lru_cache(maxsize=_MAX_CACHED_EXPORTS)(self._load_uncached)

    def list_latest(self, *, before: int | None, limit: int) -> list[Export]:
        """Up to `limit` versions older than `before`, newest first. Raises UnavailableError."""
        try:
            versions = [version for version in export_versions(self._lake) if before is None or version < before]
            return [self._load(version) for version in versions[:limit]]
        except LakeError as error:
            raise UnavailableError(_LAKE_UNAVAILABLE, retry_after=_LAKE_RETRY_AFTER) from error

    def get(self, version: int) -> Export:
        """Raises NotFoundError or UnavailableError."""
        try:
            if self._lake.size(manifest_path(version)) is None:  # a removed version may still be cached
                raise LakeFileNotFoundError(f"no version {version}")
            return self._load(version)
        except LakeFileNotFoundError as error:
            raise NotFoundError(f"There is no version {version}.") from error
        except LakeError as error:
            raise UnavailableError(_LAKE_UNAVAILABLE, retry_after=_LAKE_RETRY_AFTER) from error

    def get_file(self, version: int, path: str) -> ExportFile:
        """The version's file at this path of the lake. Raises NotFoundError or UnavailableError."""
        for file in self.get(version).files:
            if file.path == path:
                return file
        raise NotFoundError(f"Version {version} has no such file.")

    def read_file(self, file: ExportFile, byte_range: ByteRange) -> Iterator[bytes]:
        """Chunks of a range. Raises NotFoundError or UnavailableError before the first chunk."""
        try:
            opened = self._lake.open(file.path)
        except LakeFileNotFoundError as error:
            raise NotFoundError("The version has just been removed.") from error
        except LakeError as error:
            raise UnavailableError(_LAKE_UNAVAILABLE, retry_after=_LAKE_RETRY_AFTER) from error
        return _read_chunks(opened, byte_range)

    def submit(self, *, requested_by: str) -> int:
        """Requests a version up to the feed's head, unless it exists, and returns the head's sequence.

        Raises UnavailableError.
        """
        head = self.snapshots.head()
        if any(export.version == head for export in self.list_latest(before=None, limit=1)):
            return head
        request = ExportRequest(
            version=head,
            requested_by=requested_by,
            requested_at=datetime.now(UTC),
            traceparent=current_traceparent(),
        )
        try:
            StreamWriter(self._redis, EXPORT_STREAM).publish([request.model_dump_json()])
        except RedisError as error:
            raise UnavailableError("Redis is unavailable: retry later.", retry_after=1) from error
        return head

    def snapshot_as_of(self, as_of: str | None) -> Snapshot:
        """Raises InvalidParameterError, or ConflictError if changes up to then have no content."""
        if as_of is None:
            return Snapshot(sequence=self.snapshots.head())
        moment = parse_time("as_of", as_of, is_high=True)
        if moment > datetime.now(UTC):
            raise invalid_field("as_of", "in_the_future", "must not be in the future")
        snapshot = Snapshot(moment=moment)
        if not self.snapshots.has_all_contents(snapshot):
            detail = f"The catalog as of {as_of} is unavailable: changes were kept without content then."
            raise ConflictError(detail)
        return snapshot

    def check_delta(self, earlier: int, later: int) -> None:
        """Raises InvalidParameterError, NotFoundError or ConflictError if there is no delta of these versions."""
        if earlier > later:
            raise invalid_field("earlier", "out_of_order", "must not be after the later version")
        head = self.snapshots.head()
        if later > head:
            raise NotFoundError(f"There is no version {later} yet: the feed is at {head}.")
        for version in (earlier, later):
            if not self.snapshots.has_all_contents(Snapshot(sequence=version)):
                raise ConflictError(f"Version {version} is unavailable: changes were kept without content then.")

    def _load_uncached(self, version: int) -> Export:
        export = read_export(self._lake, version)
        if export is None:
            raise LakeFileNotFoundError(f"no version {version}")
        return export


def _read_chunks(opened: Any, byte_range: ByteRange) -> Iterator[bytes]:
    with opened as file:
        file.seek(byte_range.start)
        remaining = byte_range.end - byte_range.start
        while remaining > 0:
            chunk: bytes = file.read(min(remaining, _CHUNK_BYTES))
            if not chunk:
                raise LakeError("a file of the lake ended too early")
            remaining -= len(chunk)
            yield chunk

"""The versions of the catalog for download: which there are, their files, and the way to have one made."""

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from bookwheel_contracts.exports import Export, ExportFile, ExportRequest
from bookwheel_contracts.problems import (
    ConflictError,
    FieldError,
    InvalidParameterError,
    NotFoundError,
    UnavailableError,
)
from bookwheel_contracts.redis_keys import EXPORT_STREAM
from bookwheel_runtime.traces import current_traceparent
from bookwheel_stores.lake import Lake, LakeError, LakeFileNotFoundError
from bookwheel_stores.lake.export_writer import export_versions, list_path, read_export
from bookwheel_stores.records.feed.snapshots import Snapshot, SnapshotReader
from bookwheel_stores.streams import StreamWriter
from redis import Redis
from redis.exceptions import RedisError

from bookwheel_catalog.byte_ranges import ByteRange
from bookwheel_catalog.parameters import read_time

_PIECE = 256 * 1024
_KEPT_LISTS = 256
_AWAY = "The lake is away, and nothing can be downloaded without it."


class ExportShelf:
    """Reads the lake; versions never change while they are there, so the lists of their files are read once."""

    def __init__(self, lake: Lake, states: SnapshotReader, redis: Redis) -> None:
        self._lake = lake
        self.states = states
        self._redis = redis
        self._read = lru_cache(maxsize=_KEPT_LISTS)(self._read_list)

    def latest(self, *, before: int | None, limit: int) -> list[Export]:
        """Up to `limit` versions older than `before`, newest first. Raises Unavailable."""
        try:
            found = [version for version in export_versions(self._lake) if before is None or version < before]
            return [self._read(version) for version in found[:limit]]
        except LakeError as error:
            raise UnavailableError(_AWAY, retry_after=5) from error

    def get(self, version: int) -> Export:
        """Raises NotFound, Unavailable."""
        try:
            if self._lake.size(list_path(version)) is None:  # a removed one may have been read before
                raise LakeFileNotFoundError(f"no version {version}")
            return self._read(version)
        except LakeFileNotFoundError as error:
            raise NotFoundError(f"There is no version {version}.") from error
        except LakeError as error:
            raise UnavailableError(_AWAY, retry_after=5) from error

    def file(self, version: int, path: str) -> ExportFile:
        """The file of that version with that path in the lake. Raises NotFound, Unavailable."""
        for file in self.get(version).files:
            if file.path == path:
                return file
        raise NotFoundError(f"Version {version} has no such file.")

    def content(self, file: ExportFile, part: ByteRange) -> Iterator[bytes]:
        """A part of the file, in pieces. Raises NotFound, Unavailable before the first of them."""
        try:
            opened = self._lake.open(file.path)
        except LakeFileNotFoundError as error:
            raise NotFoundError("The version has just been removed.") from error
        except LakeError as error:
            raise UnavailableError(_AWAY, retry_after=5) from error
        return _pieces(opened, part)

    def order(self, *, requested_by: str) -> int:
        """Has a version made that holds at least the feed's last change, which is returned. Raises Unavailable."""
        head = self.states.head()
        if any(export.version == head for export in self.latest(before=None, limit=1)):
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
            raise UnavailableError(
                "Redis is away, and no version can be asked for without it.", retry_after=1
            ) from error
        return head

    def cut(self, as_of: str | None) -> Snapshot:
        """The point of the feed that a download shows. Raises InvalidParameter, Conflict."""
        if as_of is None:
            return Snapshot(sequence=self.states.head())
        moment = read_time("as_of", as_of, is_high=True)
        if moment > datetime.now(UTC):
            raise _refused("as_of", "in_the_future", "nobody knows the catalog of the future")
        cut = Snapshot(moment=moment)
        if not self.states.has_all_contents(cut):
            raise ConflictError(
                f"The catalog as of {as_of} is not known exactly: then, changes were kept without contents."
            )
        return cut

    def span(self, earlier: int, later: int) -> tuple[Snapshot, Snapshot]:
        """The ends of a delta. Raises InvalidParameter, NotFound, Conflict."""
        if earlier > later:
            raise _refused("earlier", "out_of_order", "a delta goes from the earlier version to the later one")
        head = self.states.head()
        if later > head:
            raise NotFoundError(f"There is no version {later} yet: the feed is at {head}.")
        cuts = Snapshot(sequence=earlier), Snapshot(sequence=later)
        for cut in cuts:
            if not self.states.has_all_contents(cut):
                raise ConflictError(
                    f"Version {cut.sequence} is not known exactly: then, changes were kept without contents."
                )
        return cuts

    def _read_list(self, version: int) -> Export:
        export = read_export(self._lake, version)
        if export is None:
            raise LakeFileNotFoundError(f"no version {version}")
        return export


def _pieces(opened: Any, part: ByteRange) -> Iterator[bytes]:
    with opened as file:
        file.seek(part.start)
        left = part.end - part.start
        while left > 0:
            piece: bytes = file.read(min(left, _PIECE))
            if not piece:
                raise LakeError("a file of the lake ended too early")
            left -= len(piece)
            yield piece


def _refused(field: str, code: str, message: str) -> InvalidParameterError:
    return InvalidParameterError(f"{field}: {message}", errors=(FieldError(field=field, code=code, message=message),))

"""Writes exports of the catalog, on request and after complete crawls."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bookwheel_contracts.exports import Export, ExportRequest
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.lake import Lake
from bookwheel_stores.lake.export_writer import delete_export, export_versions, read_export, write_export
from bookwheel_stores.records.runs.store import RunStore
from bookwheel_stores.streams import StreamEntry
from pydantic import ValidationError
from sqlalchemy import Engine

from bookwheel_processor.lake.silver_projection import SilverProjection

logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Exports:
    """Exports of one lake.

    - `interval`: the minimum time in seconds between exports after crawls, 0 for none
    - `max_exports`: the number of exports to keep
    """

    lake: Lake
    engine: Engine
    silver: SilverProjection
    interval: float
    max_exports: int

    def handle_requests(self, entries: list[StreamEntry]) -> None:
        """Write one export for all requests, unless the latest requested version or a later one exists."""
        versions = [version for entry in entries if (version := _requested_version(entry)) is not None]
        if versions and max(versions) > max(export_versions(self.lake), default=-1):
            self.write()

    def write_if_due(self) -> Export | None:
        """Write an export if complete crawls have changed the catalog and no crawl is running."""
        if not self.interval:
            return None
        changes = RunStore(self.engine).get_latest_changes()
        if changes.is_any_running or not changes.last_change:
            return None
        latest_version = next(iter(export_versions(self.lake)), -1)
        if changes.last_change <= latest_version or self._is_recent(latest_version):
            return None
        return self.write()

    def write(self) -> Export:
        """Write an export of the current catalog and delete outdated exports. Raises LakeError."""
        export = write_export(self.lake, self.silver.refresh_books(), now=lambda: datetime.now(UTC))
        logger.info("export written", version=export.version, books=export.books, offers=export.offers)
        for version in export_versions(self.lake)[self.max_exports :]:
            outdated = read_export(self.lake, version)
            if outdated is not None:
                delete_export(self.lake, outdated)
        return export

    def _is_recent(self, version: int) -> bool:
        export = read_export(self.lake, version) if version >= 0 else None
        return export is not None and datetime.now(UTC) - export.created_at < timedelta(seconds=self.interval)


def _requested_version(entry: StreamEntry) -> int | None:
    try:
        return ExportRequest.model_validate_json(entry.body).version
    except ValidationError as error:
        logger.error("export request is invalid", entry=entry.id, error=str(error)[:500])
        return None

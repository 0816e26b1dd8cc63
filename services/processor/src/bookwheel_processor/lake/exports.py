"""Makes versions of the catalog for download: where one is asked for, and by itself after complete crawls."""

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

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Exports:
    """`interval` is how many seconds lie between versions that are made by themselves at least, 0 for none of these;
    `kept` how many versions are kept.
    """

    lake: Lake
    engine: Engine
    silver: SilverProjection
    interval: float
    kept: int

    def fulfil(self, entries: list[StreamEntry]) -> None:
        """One version for all that is asked for: it holds at least what they ask."""
        wanted = [version for entry in entries if (version := _version_of(entry)) is not None]
        if wanted and max(wanted) > max(export_versions(self.lake), default=-1):
            self.make()

    def make_if_due(self) -> Export | None:
        """A version of what complete crawls have changed since the last one, once no crawl is under way."""
        if not self.interval:
            return None
        changes = RunStore(self.engine).complete_changes()
        if changes.is_any_running or not changes.last:
            return None
        last = next(iter(export_versions(self.lake)), -1)
        if changes.last <= last or self._is_fresh(last):
            return None
        return self.make()

    def make(self) -> Export:
        """A version of the catalog as it is now. The caller keeps others from silver meanwhile. Raises Overtaken,
        without a version, where one wrote to it nevertheless."""
        version = self.silver.refresh_books()

        def verify() -> None:
            self.silver.verify_books(version)

        export = write_export(self.lake, version, now=lambda: datetime.now(UTC), verify=verify)
        _log.info("exported", version=version, books=export.books, offers=export.offers)
        for old in export_versions(self.lake)[self.kept :]:
            found = read_export(self.lake, old)
            if found is not None:
                delete_export(self.lake, found)
        return export

    def _is_fresh(self, version: int) -> bool:
        export = read_export(self.lake, version) if version >= 0 else None
        return export is not None and datetime.now(UTC) - export.created_at < timedelta(seconds=self.interval)


def _version_of(entry: StreamEntry) -> int | None:
    try:
        return ExportRequest.model_validate_json(entry.body).version
    except ValidationError as error:
        _log.error("not an export request", entry=entry.id, error=str(error)[:500])
        return None

"""What happens to a batch of stream entries: it is ingested, then the runs that are due are finished."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamEntry
from sqlalchemy import Engine

from bookwheel_processor.ingest.approval import DEFAULT_POLICY, HoldPolicy
from bookwheel_processor.ingest.batch import Ingest, IngestResult
from bookwheel_processor.runs.finalizer import RunFinalizer


class ItemPipeline:
    """`clock` gives the time of quarantining and of a run's last activity."""

    def __init__(
        self, engine: Engine, policy: HoldPolicy = DEFAULT_POLICY, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._ingest = Ingest(engine, policy, clock=clock)
        self._finalizer = RunFinalizer(engine, policy, clock=clock)

    def ingest(self, entries: Sequence[StreamEntry]) -> IngestResult:
        """Idempotent. Raises SQLAlchemy's errors where the database refuses the batch: then nothing has changed."""
        return self._finish_runs(self._ingest.apply(entries))

    def quarantine(self, entry: StreamEntry, fault: str) -> IngestResult:
        """Put an entry whose content the database refuses into quarantine."""
        return self._finish_runs(self._ingest.quarantine(entry, fault))

    def _finish_runs(self, result: IngestResult) -> IngestResult:
        last_change = self._finalizer.advance(result.run_numbers)
        return replace(result, last_change=max(result.last_change, last_change))

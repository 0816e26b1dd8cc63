"""Ingests a batch of stream entries, then processes the staged items and the finish messages of its runs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from bookwheel_stores.records.values import utc_now
from bookwheel_stores.streams import StreamEntry
from sqlalchemy import Engine

from bookwheel_processor.ingest.approval import DEFAULT_POLICY, HoldPolicy
from bookwheel_processor.ingest.batch import BatchIngester, IngestResult
from bookwheel_processor.runs.finalizer import RunFinalizer


class ItemPipeline:
    """Ingests batches. `clock` returns the time for quarantine entries and for the last activity of runs."""

    def __init__(
        self, engine: Engine, policy: HoldPolicy = DEFAULT_POLICY, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._ingester = BatchIngester(engine, policy, clock=clock)
        self._finalizer = RunFinalizer(engine, policy, clock=clock)

    def ingest(self, entries: Sequence[StreamEntry]) -> IngestResult:
        """Ingest a batch. Idempotent.

        Raises an SQLAlchemy error if the database rejects the batch; the transaction is then rolled back.
        """
        return self._advance_runs(self._ingester.apply(entries))

    def quarantine(self, entry: StreamEntry, error_name: str) -> IngestResult:
        """Quarantine an entry whose content the database rejects."""
        return self._advance_runs(self._ingester.quarantine(entry, error_name))

    def _advance_runs(self, result: IngestResult) -> IngestResult:
        last_change = self._finalizer.advance(result.run_numbers)
        return replace(result, last_change=max(result.last_change, last_change))

"""The ingest job, which ingests the raw stream into the records."""

import time
from collections import Counter
from collections.abc import Callable

import prometheus_client
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.traces import traced
from bookwheel_stores.streams import announce_changes

from bookwheel_processor.ingest.batch import IngestResult
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_processor.worker.consumer import StreamConsumer, consume_items
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.jobs import finish_runs
from bookwheel_processor.worker.process_lock import process_slot_lock

INGESTED = prometheus_client.Counter(
    "bookwheel_ingested_items",
    "Items to which this worker gave a verdict, without those of held runs.",
    ["verdict"],
)
_TRIGGER_INTERVAL_SECONDS = 0.25
logger = get_logger(__name__)


class Debouncer:
    """Calls `trigger` at most four times a second.

    Each trigger costs the worker a task, which is useless while the projection is running.
    """

    def __init__(self, trigger: Callable[[], None]) -> None:
        self._trigger = trigger
        self._triggered_at = 0.0
        self._is_pending = False

    def call(self, *, more_expected: bool) -> None:
        """Trigger now, or later if another call is expected and the last trigger was less than 0.25 s ago."""
        self._is_pending = more_expected and time.monotonic() - self._triggered_at < _TRIGGER_INTERVAL_SECONDS
        if not self._is_pending:
            self._triggered_at = time.monotonic()
            self._trigger()

    def flush(self) -> None:
        """Trigger a postponed call."""
        if self._is_pending:
            self.call(more_expected=False)


def run_ingest(dependencies: Dependencies) -> int:
    """Ingest the raw stream's entries for at most a few seconds; return their number."""
    with process_slot_lock(dependencies.lock_folder, "ingest", dependencies.ingest_workers) as slot:
        if slot is None:
            return 0
        reader = dependencies.reader(RAW_STREAM, slot=slot)
        projection = Debouncer(dependencies.trigger_projection)
        batch_size = dependencies.settings.ingest_batch

        def on_batch(result: IngestResult) -> None:
            dependencies.progress.record()
            if result.last_change:
                announce_changes(dependencies.redis, result.last_change)
                projection.call(more_expected=result.item_count == batch_size)
            _report(result)

        pipeline = ItemPipeline(dependencies.engine, dependencies.settings.hold_policy)
        entry_count = consume_items(StreamConsumer(reader, batch_size), pipeline, on_batch=on_batch)
        finish_runs(dependencies)  # also runs without new items: decided by an operator, or left by a worker that died
        projection.flush()
        dependencies.progress.record()
    if reader.has_backlog():
        dependencies.trigger_ingest()
    return entry_count


def _report(result: IngestResult) -> None:
    for verdict, count in sum(result.verdicts.values(), start=Counter()).items():
        INGESTED.labels(verdict.value).inc(count)
    for run_id, traceparent in result.traces.items():
        counts = {verdict.value: count for verdict, count in result.verdicts.get(run_id, {}).items()}
        with traced(traceparent):
            logger.info("items ingested", run_id=run_id, **counts)
    if result.redelivered:
        logger.info("items redelivered", items=result.redelivered)

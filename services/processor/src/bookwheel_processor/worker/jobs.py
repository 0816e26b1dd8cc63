"""The worker's jobs, except ingest and lake. Each is safe to run at any time and to repeat."""

from datetime import timedelta

from bookwheel_contracts.redis_keys import PREDICTION_STREAM, RAW_STREAM, REINDEX_STREAM
from bookwheel_contracts.status import IndexComparison
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import PredictionStore, WebhookQueue
from bookwheel_stores.records.runs.quarantine import QuarantineWriter
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.search import IndexBusyError
from bookwheel_stores.streams import announce_changes

from bookwheel_processor.ingest.decoding import RejectedEntry
from bookwheel_processor.replay import Replay
from bookwheel_processor.runs.finalizer import RunFinalizer
from bookwheel_processor.runs.sweep import delete_old_pages, sweep_runs
from bookwheel_processor.search_index.reindexing import ReindexInProgressError
from bookwheel_processor.search_index.sweep import IndexSweep
from bookwheel_processor.webhooks.dispatch import deliver_webhooks
from bookwheel_processor.worker.consumer import StreamConsumer, consume_predictions
from bookwheel_processor.worker.dependencies import Dependencies
from bookwheel_processor.worker.process_lock import process_lock

logger = get_logger(__name__)


def finish_runs(dependencies: Dependencies) -> None:
    """Finish runs that an operator released or discarded, or whose worker died before it finished them."""
    last_change = RunFinalizer(dependencies.engine, dependencies.settings.hold_policy).advance()
    if last_change:
        announce_changes(dependencies.redis, last_change)
        dependencies.trigger_projection()


def run_replay(dependencies: Dependencies) -> int:
    """Replay the items that operators queued; return the number of accepted ones."""
    with process_lock(dependencies.lock_folder, "replay") as acquired:
        if not acquired:
            return 0
        result = Replay(dependencies.engine, dependencies.settings.hold_policy).replay_queued()
    accepted = result.verdicts.total()
    if accepted or result.rejected:
        logger.info("items replayed", accepted=accepted, rejected=result.rejected)
    if accepted:
        announce_changes(dependencies.redis, dependencies.projection.feed.head())
        dependencies.trigger_projection()
    return accepted


def run_projection(dependencies: Dependencies) -> int:
    """Bring the index up to the feed's head; return the number of changes.

    Return if another process holds the index; that process reads the feed's head again after it releases the index.
    """
    raw = dependencies.reader(RAW_STREAM)
    total = 0
    dependencies.projection.restore_generation()
    while dependencies.projection.is_behind():
        with process_lock(dependencies.lock_folder, "project") as acquired:
            if not acquired:
                return total
            try:
                with dependencies.open_index() as index:
                    total += dependencies.projection.catch_up(index, more_expected=raw.has_backlog)
            except IndexBusyError:
                return total
    return total


def run_predictions(dependencies: Dependencies) -> int:
    """Store the stream's predictions; return the number of entries."""
    with process_lock(dependencies.lock_folder, "predictions") as acquired:
        if not acquired:
            return 0

        def quarantine(rejected: list[RejectedEntry]) -> None:
            with dependencies.engine.begin() as connection:
                entries = [entry.for_quarantine() for entry in rejected]
                QuarantineWriter(connection).add(entries, now=to_millis(utc_now()))

        reader = dependencies.reader(PREDICTION_STREAM)
        consumer = StreamConsumer(reader, dependencies.settings.ingest_batch, linger_ms=1)
        return consume_predictions(consumer, PredictionStore(dependencies.engine), quarantine=quarantine)


def run_sweep(dependencies: Dependencies) -> None:
    """Finish runs whose items are lost, delete expired rows, and repair an index that differs from the records."""
    settings = dependencies.settings
    WebhookQueue(dependencies.engine).purge_ended(now=to_millis(utc_now()))
    expired = PredictionStore(dependencies.engine).delete_before(utc_now() - timedelta(days=settings.prediction_days))
    if expired:
        logger.info("predictions deleted", count=expired)
    # A page may be delivered again as long as an item.
    page_days = max(settings.page_days, settings.receipt_days)
    pages = delete_old_pages(dependencies.engine, before=utc_now() - timedelta(days=page_days))
    if pages:
        logger.info("pages deleted", count=pages)
    sweep = sweep_runs(
        dependencies.engine,
        dependencies.redis,
        now=utc_now(),
        settle_after=settings.settle_after,
        receipt_days=settings.receipt_days,
        stream_is_idle=not dependencies.reader(RAW_STREAM).has_backlog(),
    )
    finish_runs(dependencies)
    if sweep.finished_runs or sweep.processed_items:
        logger.info("run sweep finished", finished_runs=sweep.finished_runs, processed_items=sweep.processed_items)
    comparison = compare_index(dependencies)
    if comparison is not None and comparison.rebuild:
        try:
            dependencies.reindexing.run()
        except ReindexInProgressError:
            logger.info("reindexing already in progress")


def compare_index(dependencies: Dependencies) -> IndexComparison | None:
    """Compare the index with the records and repair it; return None if the index is in use."""
    with process_lock(dependencies.lock_folder, "project") as acquired:
        if acquired:
            try:
                with dependencies.open_index() as index:
                    return IndexSweep(dependencies.projection, dependencies.redis).run(index, now=utc_now())
            except IndexBusyError:
                logger.info("index comparison skipped", reason="index in use")
        return None


def run_reindexing(dependencies: Dependencies) -> int:
    """Rebuild the index if requested; return the number of requests."""
    return dependencies.reindexing.handle_requests(dependencies.reader(REINDEX_STREAM))


def run_webhooks(dependencies: Dependencies) -> int:
    """Deliver due webhooks for at most a few seconds; return the number of successful deliveries."""
    with process_lock(dependencies.lock_folder, "webhooks") as acquired:
        return deliver_webhooks(dependencies.engine, dependencies.settings) if acquired else 0

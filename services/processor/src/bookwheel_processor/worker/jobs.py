"""What the tasks do: plain functions over the parts, each safe to call at any time and as often as one likes."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import prometheus_client
from bookwheel_contracts.redis_keys import PREDICTION_STREAM, RAW_GROUPS, RAW_STREAM, REINDEX_STREAM
from bookwheel_contracts.status import IndexComparison
from bookwheel_runtime.health_server import Progress
from bookwheel_runtime.logs import get_logger
from bookwheel_runtime.traces import traced
from bookwheel_stores.lake import Lake
from bookwheel_stores.records import PredictionStore, WebhookQueue, supports_concurrent_writers
from bookwheel_stores.records.runs.quarantine import QuarantineWriter
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.search import IndexBusyError, IndexWriter
from bookwheel_stores.streams import StreamReader, announce_changes
from redis import Redis
from sqlalchemy import Engine

from bookwheel_processor.ingest.batch import Ingest, IngestResult
from bookwheel_processor.ingest.decoding import Refused, quarantined
from bookwheel_processor.ingest.replay import Replay
from bookwheel_processor.lake.silver_projection import SilverProjection
from bookwheel_processor.runs.finalizer import Closing
from bookwheel_processor.runs.sweep import sweep_runs
from bookwheel_processor.search_index.projection import Projection
from bookwheel_processor.search_index.reindexing import Reindexing, ReindexInProgressError
from bookwheel_processor.search_index.sweep import IndexSweep
from bookwheel_processor.settings import ProcessorSettings
from bookwheel_processor.worker.consumer import Drain, drain_items, drain_predictions
from bookwheel_processor.worker.process_lock import numbered_slot, slot

GROUP = "processor"
INGESTED = prometheus_client.Counter(
    "bookwheel_ingested_items",
    "Items that this worker gave their verdict, but those of held runs.",
    ["verdict"],
)
_NUDGE_PAUSE = 0.25
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything a round needs. `nudge_project` and `nudge_ingest` ask for another round, soon and by any worker."""

    settings: ProcessorSettings
    engine: Engine
    redis: Redis
    projection: Projection
    progress: Progress
    open_index: Callable[[], IndexWriter]
    reindexing: Reindexing
    lake: Lake
    silver: SilverProjection
    consumer: str
    nudge_ingest: Callable[[], None]
    nudge_project: Callable[[], None]

    @property
    def slots(self) -> Path:
        return self.settings.state_dir / "run"

    @property
    def ingest_workers(self) -> int:
        """How many ingest rounds may run at once on this machine."""
        return self.settings.ingest_workers if supports_concurrent_writers(self.engine) else 1

    def reader(self, stream: str, *, group: str = GROUP, number: int = 0) -> StreamReader:
        """`number` tells the processes apart that read the same stream for the same group on one machine."""
        return StreamReader(
            self.redis,
            stream,
            group=group,
            consumer=f"{self.consumer}-{number}" if number else self.consumer,
            claim_after=self.settings.claim_after,
            other_groups=RAW_GROUPS if stream == RAW_STREAM else (),
        )


class _Nudge:
    """Asks for a projection, at once or, while full batches follow one another, four times a second.

    Each nudge costs the worker a task that only finds the projection at work.
    """

    def __init__(self, nudge: Callable[[], None]) -> None:
        self._nudge = nudge
        self._nudged = 0.0
        self._owed = False

    def ask(self, *, soon: bool) -> None:
        """`soon` where another batch is likely to follow."""
        self._owed = soon and time.monotonic() - self._nudged < _NUDGE_PAUSE
        if not self._owed:
            self._nudged = time.monotonic()
            self._nudge()

    def settle(self) -> None:
        """At the end: what was put off."""
        if self._owed:
            self.ask(soon=False)


def ingest_round(parts: Dependencies) -> int:
    """Takes in what the raw stream holds, for some seconds at most; returns the number of entries."""
    with numbered_slot(parts.slots, "ingest", parts.ingest_workers) as number:
        if number is None:
            return 0
        reader = parts.reader(RAW_STREAM, number=number)
        nudge = _Nudge(parts.nudge_project)

        def on_batch(result: IngestResult) -> None:
            parts.progress.record()
            if result.last_change:
                announce_changes(parts.redis, result.last_change)
                nudge.ask(soon=result.items == parts.settings.ingest_batch)
            _report(result)

        ingest = Ingest(parts.engine, parts.settings.hold_policy)
        taken = drain_items(Drain(reader, parts.settings.ingest_batch), ingest, on_batch=on_batch)
        close_runs(parts)
        nudge.settle()
        parts.progress.record()
    if reader.has_backlog():
        parts.nudge_ingest()
    return taken


def close_runs(parts: Dependencies) -> None:
    """Goes on with runs that an operator decided on, or whose worker died before it had ended them."""
    last_change = Closing(parts.engine, parts.settings.hold_policy).advance()
    if last_change:
        announce_changes(parts.redis, last_change)
        parts.nudge_project()


def replay_round(parts: Dependencies) -> int:
    """Replays what operators asked for; returns the number of items that were taken in."""
    with slot(parts.slots, "replay") as is_mine:
        if not is_mine:
            return 0
        result = Replay(parts.engine, parts.settings.hold_policy).queued()
    taken = result.verdicts.total()
    if taken or result.rejected:
        _log.info("replayed", taken=taken, rejected=result.rejected)
    if taken:
        announce_changes(parts.redis, parts.projection.feed.head())
        parts.nudge_project()
    return taken


def project_round(parts: Dependencies) -> int:
    """Brings the index up to the feed's head; returns the number of changes. Another holder of the index does it too:
    it looks at the feed's head once more after it has let the index go."""
    raw = parts.reader(RAW_STREAM)
    total = 0
    parts.projection.void_forgotten()
    while parts.projection.is_behind():
        with slot(parts.slots, "project") as is_mine:
            if not is_mine:
                return total
            try:
                with parts.open_index() as index:
                    total += parts.projection.catch_up(index, more_is_coming=raw.has_backlog)
            except IndexBusyError:
                return total
    return total


def predictions_round(parts: Dependencies) -> int:
    """Stores the predictions that the stream holds; returns the number of entries."""
    with slot(parts.slots, "predictions") as is_mine:
        if not is_mine:
            return 0

        def refuse(refused: list[Refused]) -> None:
            with parts.engine.begin() as connection:
                QuarantineWriter(connection).add([quarantined(one) for one in refused], now=to_millis(utc_now()))

        drain = Drain(parts.reader(PREDICTION_STREAM), parts.settings.ingest_batch, linger_ms=1)
        return drain_predictions(drain, PredictionStore(parts.engine), refuse=refuse)


def sweep_round(parts: Dependencies) -> None:
    """Closes runs whose items are lost, drops old receipts and deliveries, and repairs an index that differs from the
    records."""
    settings = parts.settings
    WebhookQueue(parts.engine).purge_ended(now=to_millis(utc_now()))
    swept = sweep_runs(
        parts.engine,
        parts.redis,
        now=utc_now(),
        settle_after=settings.settle_after,
        receipt_days=settings.receipt_days,
        idle=not parts.reader(RAW_STREAM).has_backlog(),
    )
    close_runs(parts)
    if swept.settled or swept.receipts:
        _log.info("swept", settled=swept.settled, receipts=swept.receipts)
    index = compare_index(parts)
    if index is not None and index.rebuild:
        try:
            parts.reindexing.run()
        except ReindexInProgressError:
            _log.info("the index is being built anew already")


def compare_index(parts: Dependencies) -> IndexComparison | None:
    """Compares the index with the records and repairs it; None where it is in use, and nothing was compared."""
    with slot(parts.slots, "project") as is_mine:
        if is_mine:
            try:
                with parts.open_index() as index:
                    return IndexSweep(parts.projection, parts.redis).run(index, now=utc_now())
            except IndexBusyError:
                _log.info("the index is in use: it is compared with the records another time")
        return None


def reindex_round(parts: Dependencies) -> int:
    """Builds the index anew where somebody asked for it; returns how many did."""
    return parts.reindexing.serve(parts.reader(REINDEX_STREAM))


def _report(result: IngestResult) -> None:
    for verdict, count in sum(result.verdicts.values(), start=Counter()).items():
        INGESTED.labels(verdict.value).inc(count)
    for run_id, traceparent in result.traces.items():
        counts = {verdict.value: count for verdict, count in result.verdicts.get(run_id, {}).items()}
        with traced(traceparent):
            _log.info("taken in", run_id=run_id, **counts)
    if result.redelivered:
        _log.info("delivered again", items=result.redelivered)

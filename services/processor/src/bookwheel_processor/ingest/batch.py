"""Ingests a batch of stream entries in one transaction: all items get their verdicts, or nothing changes."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bookwheel_contracts import RunFinished, RunPages, RunStarted, Verdict
from bookwheel_stores.records import in_transaction
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quality import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import QuarantineWriter
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.streams import StreamEntry
from sqlalchemy import Connection, Engine

from bookwheel_processor.ingest.apply import apply_items
from bookwheel_processor.ingest.approval import DEFAULT_POLICY, HoldPolicy
from bookwheel_processor.ingest.decoding import (
    AcceptedItem,
    DecodedEntry,
    RejectedEntry,
    database_error_reason,
    decode_entry,
    reject_entry,
)
from bookwheel_processor.ingest.pages import record_pages_and_faults
from bookwheel_processor.ingest.quality import record_quality
from bookwheel_processor.ingest.staging import BatchApprovals


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What a batch changed.

    - `verdicts`: the number of new items by run and verdict, without staged items
    - `redelivered`: the number of items that already had a verdict
    - `last_change`: the sequence of the last change, or 0 if no book changed
    - `traces`: the traceparent of each run in the batch
    - `run_numbers`: the numbers of the runs in the batch
    """

    verdicts: Mapping[str, Counter[Verdict]]
    redelivered: int
    last_change: int
    traces: Mapping[str, str]
    run_numbers: Collection[int]

    @property
    def item_count(self) -> int:
        """The number of new items with a readable run and a verdict."""
        return sum(counts.total() for counts in self.verdicts.values())


class BatchIngester:
    """Ingests batches. `clock` returns the time for quarantine entries and for the last activity of runs."""

    def __init__(
        self, engine: Engine, policy: HoldPolicy = DEFAULT_POLICY, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock

    def apply(self, entries: Sequence[StreamEntry]) -> IngestResult:
        """Ingest a batch. Idempotent.

        Raises an SQLAlchemy error if the database rejects the batch; the transaction is then rolled back.
        """
        now = to_millis(self._clock())
        # Entries are decoded before the transaction, because the transaction holds locks.
        return self._apply([decode_entry(entry, now=now) for entry in entries])

    def quarantine(self, entry: StreamEntry, error_name: str) -> IngestResult:
        """Quarantine an entry whose content the database rejects."""
        reason = database_error_reason(error_name)
        return self._apply([reject_entry(entry, reason.code, reason.message)])

    def _apply(self, entries: Sequence[DecodedEntry]) -> IngestResult:
        now = to_millis(self._clock())
        policy = self._policy
        return in_transaction(self._engine, lambda connection: _Batch(connection, entries, policy, now).apply())


class _Batch:
    def __init__(self, connection: Connection, entries: Sequence[DecodedEntry], policy: HoldPolicy, now: int) -> None:
        self._connection = connection
        self._missing_offers = MissingOffers(connection, grace=policy.grace)
        self._approvals = BatchApprovals(connection, self._missing_offers, policy)
        self._ledger = RunLedger(connection)
        self._now = now
        self._entries = entries
        self._run_numbers = self._ledger.get_or_create(_sources(entries), now=now)

    def apply(self) -> IngestResult:
        items = [entry for entry in self._entries if isinstance(entry, AcceptedItem | RejectedEntry)]
        new_items = self._mark_new_items(items)
        accepted = [item for item in new_items if isinstance(item, AcceptedItem)]
        rejected = [item for item in new_items if isinstance(item, RejectedEntry)]
        expectations_by_run = {start.run_id: start.expect for start in _run_starts(self._entries)}
        site_by_run = {item.raw_item.run_id: item.raw_item.site for item in accepted}
        approvals = self._approvals.load(
            {self._run_numbers[run_id] for run_id in site_by_run}, expectations_by_run, site_by_run
        )
        writer = CatalogWriter(self._connection)
        verdicts, last_change = apply_items(writer, self._missing_offers, accepted, approvals)
        QuarantineWriter(self._connection).add([entry.for_quarantine() for entry in rejected], now=self._now)
        counts_by_run = _count_verdicts(accepted, verdicts, rejected)
        self._ledger.lock(self._run_numbers.values())
        for run_id, counts in counts_by_run.items():
            self._ledger.add_verdicts(self._run_numbers[run_id], counts, last_change=last_change, now=self._now)
        self._approvals.stage([item for item, verdict in zip(accepted, verdicts, strict=True) if verdict is None])
        record_quality(RunQualityWriter(self._connection), self._run_numbers, accepted, rejected)
        pages = [entry for entry in self._entries if isinstance(entry, RunPages)]
        record_pages_and_faults(self._connection, self._run_numbers, pages, accepted, now=self._now)
        self._apply_events()
        redelivered = len(items) - len(new_items)
        return IngestResult(counts_by_run, redelivered, last_change, _traces(self._entries), self._run_numbers.values())

    def _mark_new_items(self, items: Sequence[AcceptedItem | RejectedEntry]) -> list[AcceptedItem | RejectedEntry]:
        """Mark the items without a verdict as processed; return each of them once.

        Items whose identity cannot be read are always returned.
        """
        first_items: dict[tuple[str, int], AcceptedItem | RejectedEntry] = {}
        for item in items:
            run_id, item_number = _identity(item)
            if run_id is not None and item_number is not None:
                first_items.setdefault((run_id, item_number), item)
        item_numbers: dict[str, list[int]] = defaultdict(list)
        for run_id, item_number in first_items:
            item_numbers[run_id].append(item_number)
        unprocessed = {
            run_id: self._ledger.list_unprocessed(self._run_numbers[run_id], numbers)
            for run_id, numbers in item_numbers.items()
        }
        for run_id, numbers in sorted(unprocessed.items()):
            self._ledger.mark_processed(self._run_numbers[run_id], sorted(numbers))
        new_ids = {id(item) for (run_id, number), item in first_items.items() if number in unprocessed[run_id]}
        return [item for item in items if id(item) in new_ids or _identity(item) == (None, None)]

    def _apply_events(self) -> None:
        for entry in self._entries:
            if isinstance(entry, RunStarted):
                self._ledger.start(entry)
            elif isinstance(entry, RunFinished):
                self._ledger.finish(entry)


def _run_starts(entries: Sequence[DecodedEntry]) -> Iterator[RunStarted]:
    """Yield the starts of runs. A finish message repeats the start of its run."""
    for entry in entries:
        start = entry.start if isinstance(entry, RunFinished) else entry
        if isinstance(start, RunStarted):
            yield start


def _count_verdicts(
    accepted: Sequence[AcceptedItem], verdicts: Sequence[Verdict | None], rejected: Sequence[RejectedEntry]
) -> dict[str, Counter[Verdict]]:
    counts_by_run: dict[str, Counter[Verdict]] = defaultdict(Counter)
    for item, verdict in zip(accepted, verdicts, strict=True):
        if verdict is not None:
            counts_by_run[item.raw_item.run_id][verdict] += 1
    for entry in rejected:
        if entry.run_id is not None:
            counts_by_run[entry.run_id][Verdict.QUARANTINED] += 1
    return counts_by_run


def _identity(item: AcceptedItem | RejectedEntry) -> tuple[str | None, int | None]:
    if isinstance(item, AcceptedItem):
        return item.raw_item.run_id, item.raw_item.item_number
    return item.run_id, item.item_number


def _sources(entries: Sequence[DecodedEntry]) -> dict[str, str]:
    """Return the sources of the runs in the batch, by run id."""
    sources: dict[str, str] = {}
    for entry in entries:
        message = entry.raw_item if isinstance(entry, AcceptedItem) else entry
        if message.run_id is not None:
            sources.setdefault(message.run_id, message.source or "")
    return sources


def _traces(entries: Sequence[DecodedEntry]) -> dict[str, str]:
    """Return the first traceparent of each run in the batch, by run id."""
    messages = [
        entry.raw_item if isinstance(entry, AcceptedItem) else entry
        for entry in entries
        if not isinstance(entry, RejectedEntry)
    ]
    return {message.run_id: message.traceparent for message in reversed(messages)}

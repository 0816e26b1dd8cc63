"""One batch of the stream's entries becomes one transaction: every item gets its verdict, or nothing happened."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from bookwheel_contracts import RunFinished, RunStarted, Verdict
from bookwheel_stores.records import in_transaction
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quality_writer import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import QuarantineWriter
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.streams import StreamEntry
from sqlalchemy import Connection, Engine

from bookwheel_processor.ingest.approval import USUAL_POLICY, BatchApprovals, HoldPolicy
from bookwheel_processor.ingest.decoding import (
    Accepted,
    Delivery,
    Refused,
    quarantined,
    read_entry,
    refuse_entry,
    refused_by_database,
)
from bookwheel_processor.ingest.plan import take_in
from bookwheel_processor.ingest.quality import record_quality


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What a batch came to. `redelivered` are items that had their verdict already; `last_change` is 0 for none.

    `traces` has the traceparent of each run that the batch touched, `verdicts` the counts of those with new items,
    those that wait left out. `runs` are the numbers of all runs that it touched.
    """

    verdicts: Mapping[str, Counter[Verdict]]
    redelivered: int
    last_change: int
    traces: Mapping[str, str]
    runs: Collection[int]

    @property
    def items(self) -> int:
        """New ones, those that no run is known of left out."""
        return sum(counts.total() for counts in self.verdicts.values())


class Ingest:
    """Takes batches into the records. `clock` gives the time of quarantining and of a run's last activity."""

    def __init__(
        self, engine: Engine, policy: HoldPolicy = USUAL_POLICY, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock

    def apply(self, entries: Sequence[StreamEntry]) -> IngestResult:
        """Idempotent. Raises SQLAlchemy's errors for whatever the database refuses: then nothing was changed."""
        now = to_millis(self._clock())
        return self._apply([read_entry(entry, now=now) for entry in entries])  # before the transaction: it holds locks

    def quarantine(self, entry: StreamEntry, fault: str) -> IngestResult:
        """Puts an entry into quarantine that the database does not take."""
        reason = refused_by_database(fault)
        return self._apply([refuse_entry(entry, reason.code, reason.message)])

    def _apply(self, deliveries: Sequence[Delivery]) -> IngestResult:
        now = to_millis(self._clock())
        policy = self._policy
        return in_transaction(self._engine, lambda connection: _Batch(connection, deliveries, policy, now).apply())


class _Batch:
    def __init__(self, connection: Connection, deliveries: Sequence[Delivery], policy: HoldPolicy, now: int) -> None:
        self._connection = connection
        self._absences = MissingOffers(connection, grace=policy.grace)
        self._gates = BatchApprovals(connection, self._absences, policy)
        self._ledger = RunLedger(connection)
        self._now = now
        self._deliveries = deliveries
        self._runs = self._ledger.get_or_create(_sources(deliveries), now=now)

    def apply(self) -> IngestResult:
        items = [one for one in self._deliveries if isinstance(one, Accepted | Refused)]
        fresh = self._unseen(items)
        accepted = [one for one in fresh if isinstance(one, Accepted)]
        refused = [one for one in fresh if isinstance(one, Refused)]
        started = {one.run_id: one.expect for one in _starts(self._deliveries)}
        sites = {one.item.run_id: one.item.site for one in accepted}
        gates = self._gates.of({self._runs[run_id] for run_id in sites}, started, sites)
        verdicts, last_change = take_in(CatalogWriter(self._connection), self._absences, accepted, gates)
        QuarantineWriter(self._connection).add([quarantined(one) for one in refused], now=self._now)
        by_run = _count(accepted, verdicts, refused)
        self._ledger.lock(self._runs.values())
        for run_id, counts in by_run.items():
            self._ledger.add_verdicts(self._runs[run_id], counts, last_change=last_change, now=self._now)
        self._gates.keep([one for one, verdict in zip(accepted, verdicts, strict=True) if verdict is None])
        record_quality(RunQualityWriter(self._connection), self._runs, accepted, refused)
        self._take_events()
        traces = _traces(self._deliveries)
        return IngestResult(by_run, len(items) - len(fresh), last_change, traces, self._runs.values())

    def _unseen(self, items: Sequence[Accepted | Refused]) -> list[Accepted | Refused]:
        """Without those that have their verdict, from an earlier batch or further up in this one; signs the rest."""
        firsts: dict[tuple[str, int], Accepted | Refused] = {}
        for one in items:
            run_id, number = _item_of(one)
            if run_id is not None and number is not None:
                firsts.setdefault((run_id, number), one)
        numbers: dict[str, list[int]] = defaultdict(list)
        for run_id, number in firsts:
            numbers[run_id].append(number)
        unseen = {run_id: self._ledger.list_unprocessed(self._runs[run_id], found) for run_id, found in numbers.items()}
        for run_id, found in sorted(unseen.items()):
            self._ledger.mark_processed(self._runs[run_id], sorted(found))
        fresh = {id(one) for (run_id, number), one in firsts.items() if number in unseen[run_id]}
        return [one for one in items if id(one) in fresh or _item_of(one) == (None, None)]

    def _take_events(self) -> None:
        for one in self._deliveries:
            if isinstance(one, RunStarted):
                self._ledger.start(one)
            elif isinstance(one, RunFinished):
                self._ledger.finish(one)


def _starts(deliveries: Sequence[Delivery]) -> Iterator[RunStarted]:
    for one in deliveries:
        start = one.start if isinstance(one, RunFinished) else one
        if isinstance(start, RunStarted):
            yield start


def _count(
    accepted: Sequence[Accepted], verdicts: Sequence[Verdict | None], refused: Sequence[Refused]
) -> dict[str, Counter[Verdict]]:
    by_run: dict[str, Counter[Verdict]] = defaultdict(Counter)
    for one, verdict in zip(accepted, verdicts, strict=True):
        if verdict is not None:
            by_run[one.item.run_id][verdict] += 1
    for refusal in refused:
        if refusal.run_id is not None:
            by_run[refusal.run_id][Verdict.QUARANTINED] += 1
    return by_run


def _item_of(one: Accepted | Refused) -> tuple[str | None, int | None]:
    return (one.item.run_id, one.item.item_number) if isinstance(one, Accepted) else (one.run_id, one.item_number)


def _sources(deliveries: Sequence[Delivery]) -> dict[str, str]:
    sources: dict[str, str] = {}
    for one in deliveries:
        told = one.item if isinstance(one, Accepted) else one
        if told.run_id is not None:
            sources.setdefault(told.run_id, told.source or "")
    return sources


def _traces(deliveries: Sequence[Delivery]) -> dict[str, str]:
    messages = [one.item if isinstance(one, Accepted) else one for one in deliveries if not isinstance(one, Refused)]
    return {message.run_id: message.traceparent for message in reversed(messages)}

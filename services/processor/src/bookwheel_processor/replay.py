"""Ingests quarantined items again, by the current rules, and moves their run's counts along."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bookwheel_contracts import FieldError, PredictionRecord, RunFinished, RunStarted, Verdict
from bookwheel_contracts.redis_keys import PREDICTION_STREAM
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import CONTENT_ERRORS, in_transaction
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.predictions import write_predictions
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quality import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import (
    ALL_ENTRIES,
    DISCARDED,
    QuarantineEntry,
    QuarantineFilter,
    QuarantineState,
    QuarantineStore,
    QuarantineWriter,
)
from bookwheel_stores.records.values import to_millis, utc_now
from sqlalchemy import Connection, Engine

from bookwheel_processor.ingest.apply import apply_items
from bookwheel_processor.ingest.approval import DEFAULT_POLICY, HoldPolicy
from bookwheel_processor.ingest.decoding import (
    AcceptedItem,
    RejectedEntry,
    database_refusal,
    decode_body,
    decode_prediction,
)
from bookwheel_processor.ingest.quality import count_faults, filled_fields
from bookwheel_processor.runs.finalizer import RunFinalizer

_PAGE = 200
_Message = AcceptedItem | RunStarted | RunFinished | PredictionRecord
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`verdicts`: counts of the accepted items. `rejected`: how many stay in quarantine, with their current reasons."""

    verdicts: Counter[Verdict]
    rejected: int


class Replay:
    def __init__(
        self, engine: Engine, policy: HoldPolicy = DEFAULT_POLICY, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._policy = policy
        self._finalizer = RunFinalizer(engine, policy, clock=clock)
        self._store = QuarantineStore(engine)

    def replay_all(self, *, run_id: str | None = None) -> ReplayResult:
        """Replay the whole quarantine, or a run's, oldest first. Entries of discarded runs only with their run."""
        return self._replay(QuarantineFilter(run_id=run_id), QuarantineState.OPEN, with_discarded=run_id is not None)

    def replay_queued(self) -> ReplayResult:
        """Replay the entries that operators queued."""
        return self._replay(ALL_ENTRIES, QuarantineState.QUEUED, with_discarded=True)

    def replay_number(self, number: int) -> ReplayResult | None:
        """Replay the entry with this number; None where it is not in quarantine."""
        entries = self._store.list_open(after_number=number - 1, limit=1)
        if not entries or entries[0].number != number:
            return None
        verdict = self.replay(entries[0])
        return ReplayResult(Counter([verdict] if verdict else []), 0 if verdict else 1)

    def replay(self, entry: QuarantineEntry) -> Verdict | None:
        """The entry's new verdict, in one transaction with its effects; None where it is still rejected.

        Accepted predictions and events of runs count as added.
        """
        if entry.is_refused_book:
            return None
        now = to_millis(self._clock())
        message = _decode(entry, now)
        if isinstance(message, RejectedEntry):
            self._reject(entry, message.reasons)
            return None

        def apply(connection: Connection) -> Verdict | None:
            writer = QuarantineWriter(connection)
            if not writer.mark_replayed(entry.number, now=now):
                return None
            verdict = self._apply(connection, entry, message, now)
            writer.set_verdict(entry.number, verdict)
            return verdict

        try:
            verdict = in_transaction(self._engine, apply)
        except CONTENT_ERRORS as error:
            logger.exception("replayed entry refused by database", number=entry.number)
            self._reject(entry, (database_refusal(type(error).__name__),))
            return None
        self._finalizer.advance()
        return verdict

    def _replay(self, selection: QuarantineFilter, state: QuarantineState, *, with_discarded: bool) -> ReplayResult:
        verdicts: Counter[Verdict] = Counter()
        rejected = number = 0
        while page := self._store.page(selection, state=state, after_number=number, limit=_PAGE):
            number = page[-1].number
            for entry in page:
                if entry.is_refused_book or (entry.code == DISCARDED and not with_discarded):
                    continue
                verdict = self.replay(entry)
                if verdict is None:
                    rejected += 1
                else:
                    verdicts[verdict] += 1
        return ReplayResult(verdicts, rejected)

    def _reject(self, entry: QuarantineEntry, reasons: Sequence[FieldError]) -> None:
        with self._engine.begin() as connection:
            QuarantineWriter(connection).update_reasons(entry.number, reasons)

    def _apply(self, connection: Connection, entry: QuarantineEntry, message: _Message, now: int) -> Verdict:
        if isinstance(message, AcceptedItem):
            return _apply_item(connection, MissingOffers(connection, grace=self._policy.grace), entry, message, now)
        if isinstance(message, PredictionRecord):
            write_predictions(connection, [message])
            return Verdict.ADDED
        ledger = RunLedger(connection)
        ledger.lock(ledger.get_or_create({message.run_id: message.source}, now=now).values())
        if isinstance(message, RunStarted):
            ledger.start(message)
        else:
            ledger.finish(message)
        return Verdict.ADDED


def _decode(entry: QuarantineEntry, now: int) -> _Message | RejectedEntry:
    body = entry.body.encode()
    if entry.entry_id.startswith(f"{PREDICTION_STREAM}/"):
        return decode_prediction(entry.entry_id, body)
    return decode_body(entry.entry_id, body, now=now)


def _apply_item(
    connection: Connection, missing_offers: MissingOffers, entry: QuarantineEntry, item: AcceptedItem, now: int
) -> Verdict:
    ledger = RunLedger(connection)
    run_id, item_number = item.item.run_id, item.item.item_number
    run_number = ledger.get_or_create({run_id: item.item.source}, now=now)[run_id]
    counts: Counter[Verdict] = Counter()
    if entry.run_id is None:  # it counts for no run yet, since it could not be read
        if not ledger.list_unprocessed(run_number, [item_number]):
            return Verdict.DUPLICATE
        ledger.mark_processed(run_number, [item_number])
    else:
        counts[Verdict.QUARANTINED] -= 1
    verdicts, last_change = apply_items(CatalogWriter(connection), missing_offers, [item])
    verdict = verdicts[0] or Verdict.DUPLICATE  # without approvals no verdict is None
    counts[verdict] += 1
    ledger.lock([run_number])
    ledger.add_verdicts(run_number, counts, last_change=last_change, now=now)
    _move_quality(RunQualityWriter(connection), run_number, entry, item)
    return verdict


def _move_quality(quality: RunQualityWriter, run_number: int, entry: QuarantineEntry, item: AcceptedItem) -> None:
    if entry.code == DISCARDED:  # it was valid, and counted so, when it arrived
        return
    quality.add_valid(run_number, valid=1, filled=filled_fields([item.offer]))
    if entry.run_id is not None:
        faults = count_faults([RejectedEntry(entry.entry_id, b"", entry.reasons)])
        quality.add_invalid(run_number, invalid=-1, faults={fault: -count for fault, count in faults.items()})

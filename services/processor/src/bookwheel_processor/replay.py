"""Replays quarantined items under the current rules and updates the counts of their runs."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from bookwheel_contracts import FieldError, PredictionRecord, RunFinished, RunPages, RunStarted, Verdict
from bookwheel_contracts.redis_keys import PREDICTION_STREAM
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import CONTENT_ERRORS, in_transaction
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.predictions import write_predictions
from bookwheel_stores.records.runs.field_faults import FieldFaultWriter
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quality import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import (
    ALL_ENTRIES,
    RUN_DISCARDED_CODE,
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
    database_error_reason,
    decode_body,
    decode_prediction,
)
from bookwheel_processor.ingest.pages import item_faults, record_pages_and_faults
from bookwheel_processor.ingest.quality import count_field_errors, count_filled_fields
from bookwheel_processor.runs.finalizer import RunFinalizer

_PAGE_SIZE = 200
_Message = AcceptedItem | RunStarted | RunPages | RunFinished | PredictionRecord
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`verdicts`: the number of accepted items by verdict. `rejected`: the number of items that stay in quarantine."""

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
        """Replay all quarantined entries, or those of one run, oldest first.

        Entries of discarded runs are replayed only if `run_id` is given.
        """
        return self._replay_matching(
            QuarantineFilter(run_id=run_id), QuarantineState.OPEN, with_discarded=run_id is not None
        )

    def replay_queued(self) -> ReplayResult:
        """Replay the entries that operators queued."""
        return self._replay_matching(ALL_ENTRIES, QuarantineState.QUEUED, with_discarded=True)

    def replay_entry_number(self, number: int) -> ReplayResult | None:
        """Replay the entry with this number. Return None if it is not in quarantine."""
        entries = self._store.list_open(after_number=number - 1, limit=1)
        if not entries or entries[0].number != number:
            return None
        verdict = self.replay_entry(entries[0])
        return ReplayResult(Counter([verdict] if verdict else []), 0 if verdict else 1)

    def replay_entry(self, entry: QuarantineEntry) -> Verdict | None:
        """Replay an entry in one transaction; return its verdict, None if it is still rejected.

        Accepted predictions and run events count as added.
        """
        if entry.is_rejected_by_index:
            return None
        now = to_millis(self._clock())
        message = _decode(entry, now)
        if isinstance(message, RejectedEntry):
            self._reject(entry, message.reasons)
            return None

        def replay_in_transaction(connection: Connection) -> Verdict | None:
            writer = QuarantineWriter(connection)
            if not writer.mark_replayed(entry.number, now=now):
                return None
            verdict = self._apply_message(connection, entry, message, now)
            writer.set_verdict(entry.number, verdict)
            return verdict

        try:
            verdict = in_transaction(self._engine, replay_in_transaction)
        except CONTENT_ERRORS as error:
            logger.exception("replayed entry rejected by database", number=entry.number)
            self._reject(entry, (database_error_reason(type(error).__name__),))
            return None
        self._finalizer.advance()
        return verdict

    def _replay_matching(
        self, entry_filter: QuarantineFilter, state: QuarantineState, *, with_discarded: bool
    ) -> ReplayResult:
        verdicts: Counter[Verdict] = Counter()
        rejected = number = 0
        while page := self._store.page(entry_filter, state=state, after_number=number, limit=_PAGE_SIZE):
            number = page[-1].number
            for entry in page:
                if entry.is_rejected_by_index or (entry.code == RUN_DISCARDED_CODE and not with_discarded):
                    continue
                verdict = self.replay_entry(entry)
                if verdict is None:
                    rejected += 1
                else:
                    verdicts[verdict] += 1
        return ReplayResult(verdicts, rejected)

    def _reject(self, entry: QuarantineEntry, reasons: Sequence[FieldError]) -> None:
        with self._engine.begin() as connection:
            QuarantineWriter(connection).reopen_after_failed_replay(entry.number, reasons)

    def _apply_message(self, connection: Connection, entry: QuarantineEntry, message: _Message, now: int) -> Verdict:
        if isinstance(message, AcceptedItem):
            return _apply_replayed_item(
                connection, MissingOffers(connection, grace=self._policy.grace), entry, message, now
            )
        if isinstance(message, PredictionRecord):
            write_predictions(connection, [message])
            return Verdict.ADDED
        ledger = RunLedger(connection)
        run_numbers = ledger.get_or_create({message.run_id: message.source}, now=now)
        ledger.lock(run_numbers.values())
        if isinstance(message, RunPages):
            record_pages_and_faults(connection, run_numbers, [message], [], now=now)
        elif isinstance(message, RunStarted):
            ledger.start(message)
        else:
            ledger.finish(message)
        return Verdict.ADDED


def _decode(entry: QuarantineEntry, now: int) -> _Message | RejectedEntry:
    body = entry.body.encode()
    if entry.entry_id.startswith(f"{PREDICTION_STREAM}/"):
        return decode_prediction(entry.entry_id, body)
    return decode_body(entry.entry_id, body, now=now)


def _apply_replayed_item(
    connection: Connection, missing_offers: MissingOffers, entry: QuarantineEntry, item: AcceptedItem, now: int
) -> Verdict:
    ledger = RunLedger(connection)
    run_id, item_number = item.raw_item.run_id, item.raw_item.item_number
    run_number = ledger.get_or_create({run_id: item.raw_item.source}, now=now)[run_id]
    counts: Counter[Verdict] = Counter()
    if entry.run_id is None:  # no run has counted this entry, because it could not be read
        if not ledger.list_unprocessed(run_number, [item_number]):
            return Verdict.DUPLICATE
        ledger.mark_processed(run_number, [item_number])
    else:
        counts[Verdict.QUARANTINED] -= 1
    verdicts, last_change = apply_items(CatalogWriter(connection), missing_offers, [item])
    verdict = verdicts[0] or Verdict.DUPLICATE  # every verdict is set, because no approvals are passed
    counts[verdict] += 1
    ledger.lock([run_number])
    ledger.add_verdicts(run_number, counts, last_change=last_change, now=now)
    _update_quality_counts(RunQualityWriter(connection), run_number, entry, item)
    if entry.code != RUN_DISCARDED_CODE:
        FieldFaultWriter(connection).add(run_number, item_faults(item))
    return verdict


def _update_quality_counts(
    quality: RunQualityWriter, run_number: int, entry: QuarantineEntry, item: AcceptedItem
) -> None:
    if entry.code == RUN_DISCARDED_CODE:  # the item is already counted as valid
        return
    quality.add_valid(run_number, valid=1, filled=count_filled_fields([item.offer]))
    if entry.run_id is not None:
        counts = count_field_errors([RejectedEntry(entry.entry_id, b"", entry.reasons)])
        quality.add_invalid(run_number, invalid=-1, error_counts={key: -count for key, count in counts.items()})

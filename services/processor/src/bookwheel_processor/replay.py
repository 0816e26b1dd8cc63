"""Takes quarantined items in once more, by the rules of today, and moves their accounting along."""

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
from bookwheel_stores.records.runs.quality_writer import RunQualityWriter
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

from bookwheel_processor.ingest.approval import USUAL_POLICY, HoldPolicy
from bookwheel_processor.ingest.decoding import Accepted, Refused, read_body, read_prediction, refused_by_database
from bookwheel_processor.ingest.plan import take_in
from bookwheel_processor.ingest.quality import faults_of, filled_fields
from bookwheel_processor.runs.finalizer import RunFinalizer

_PAGE = 200
_Readable = Accepted | RunStarted | RunFinished | PredictionRecord
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`verdicts` of the items that were taken in; `rejected` stay in quarantine with their reasons of today."""

    verdicts: Counter[Verdict]
    rejected: int


class Replay:
    def __init__(
        self, engine: Engine, policy: HoldPolicy = USUAL_POLICY, *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._policy = policy
        self._finalizer = RunFinalizer(engine, policy, clock=clock)
        self._store = QuarantineStore(engine)

    def all(self, *, run_id: str | None = None) -> ReplayResult:
        """Everything in quarantine, or of a run, oldest first; what an operator discarded only with its run."""
        return self._replay(QuarantineFilter(run_id=run_id), QuarantineState.OPEN, with_discarded=run_id is not None)

    def queued(self) -> ReplayResult:
        """What operators asked for."""
        return self._replay(ALL_ENTRIES, QuarantineState.QUEUED, with_discarded=True)

    def _replay(self, selection: QuarantineFilter, state: QuarantineState, *, with_discarded: bool) -> ReplayResult:
        verdicts: Counter[Verdict] = Counter()
        rejected = number = 0
        while page := self._store.page(selection, state=state, after_number=number, limit=_PAGE):
            number = page[-1].number
            for item in page:
                if item.is_refused_book or (item.code == DISCARDED and not with_discarded):
                    continue
                verdict = self.one(item)
                if verdict is None:
                    rejected += 1
                else:
                    verdicts[verdict] += 1
        return ReplayResult(verdicts, rejected)

    def number(self, number: int) -> ReplayResult | None:
        """The one with this number; None where it is not in quarantine."""
        found = self._store.list_open(after_number=number - 1, limit=1)
        if not found or found[0].number != number:
            return None
        verdict = self.one(found[0])
        return ReplayResult(Counter([verdict] if verdict else []), 0 if verdict else 1)

    def one(self, item: QuarantineEntry) -> Verdict | None:
        """The item's new verdict, in one transaction with its effects; None where it is still rejected.

        What is no item, a prediction or a word on a run, is `ADDED` where it is taken in.
        """
        if item.is_refused_book:
            return None
        now = to_millis(self._clock())
        delivery = _read(item, now)
        if isinstance(delivery, Refused):
            self._reject(item, delivery.reasons)
            return None

        def take(connection: Connection) -> Verdict | None:
            writer = QuarantineWriter(connection)
            if not writer.mark_replayed(item.number, now=now):
                return None
            verdict = self._take(connection, item, delivery, now)
            writer.set_verdict(item.number, verdict)
            return verdict

        try:
            verdict = in_transaction(self._engine, take)
        except CONTENT_ERRORS as error:
            logger.exception("the database refused a replayed entry", number=item.number)
            self._reject(item, (refused_by_database(type(error).__name__),))
            return None
        self._finalizer.advance()
        return verdict

    def _reject(self, item: QuarantineEntry, reasons: Sequence[FieldError]) -> None:
        with self._engine.begin() as connection:
            QuarantineWriter(connection).update_reasons(item.number, reasons)

    def _take(self, connection: Connection, item: QuarantineEntry, delivery: _Readable, now: int) -> Verdict:
        if isinstance(delivery, Accepted):
            return _take_item(connection, MissingOffers(connection, grace=self._policy.grace), item, delivery, now)
        if isinstance(delivery, PredictionRecord):
            write_predictions(connection, [delivery])
            return Verdict.ADDED
        ledger = RunLedger(connection)
        ledger.lock(ledger.get_or_create({delivery.run_id: delivery.source}, now=now).values())
        if isinstance(delivery, RunStarted):
            ledger.start(delivery)
        else:
            ledger.finish(delivery)
        return Verdict.ADDED


def _read(item: QuarantineEntry, now: int) -> _Readable | Refused:
    body = item.body.encode()
    if item.entry_id.startswith(f"{PREDICTION_STREAM}/"):
        return read_prediction(item.entry_id, body)
    return read_body(item.entry_id, body, now=now)


def _take_item(
    connection: Connection, absences: MissingOffers, item: QuarantineEntry, accepted: Accepted, now: int
) -> Verdict:
    ledger = RunLedger(connection)
    run_id = accepted.item.run_id
    run = ledger.get_or_create({run_id: accepted.item.source}, now=now)[run_id]
    moved: Counter[Verdict] = Counter()
    if item.run_id is None:  # it counted for no run while nothing in it could be read
        if not ledger.list_unprocessed(run, [accepted.item.item_number]):
            return Verdict.DUPLICATE
        ledger.mark_processed(run, [accepted.item.item_number])
    else:
        moved[Verdict.QUARANTINED] -= 1
    verdicts, last_change = take_in(CatalogWriter(connection), absences, [accepted])
    verdict = verdicts[0] or Verdict.DUPLICATE  # without a gate none waits
    moved[verdict] += 1
    ledger.lock([run])
    ledger.add_verdicts(run, moved, last_change=last_change, now=now)
    _move_quality(RunQualityWriter(connection), run, item, accepted)
    return verdict


def _move_quality(quality: RunQualityWriter, run: int, item: QuarantineEntry, accepted: Accepted) -> None:
    if item.code == DISCARDED:  # the rules took it when it came
        return
    quality.add_valid(run, valid=1, filled=filled_fields([accepted.offer]))
    if item.run_id is not None:
        faults = faults_of([Refused(item.entry_id, b"", item.reasons)])
        quality.add_invalid(run, invalid=-1, faults={fault: -count for fault, count in faults.items()})

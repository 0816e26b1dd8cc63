"""Ends runs: judges what they would do to the catalog, applies what waited, removes what they no longer see.

In steps, each a transaction of its own that leaves the run where the next step, by whoever, goes on.
"""

from collections import Counter
from collections.abc import Callable, Collection
from datetime import datetime
from functools import partial
from typing import Any

from bookwheel_contracts import Expectations, FieldError, Hold, RunState, Verdict
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import CONTENT_ERRORS, in_transaction, read_connection
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.runs.approvals import RunApprovals, StagedItem
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.missing_offers import CompleteRuns, MissingOffers
from bookwheel_stores.records.runs.quality_writer import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import DISCARDED, NewQuarantineEntry, QuarantineWriter
from bookwheel_stores.records.runs.store import ApprovalState
from bookwheel_stores.records.values import to_millis, utc_now
from sqlalchemy import Connection, Engine, Row

from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.ingest.decoding import Accepted, Refused, quarantined, read_body, refused_by_database
from bookwheel_processor.ingest.plan import reinstate, take_in, withdraw
from bookwheel_processor.runs.holds import RunFigures, reasons_to_hold

_STEP = 500
logger = get_logger(__name__)


class RunFinalizer:
    def __init__(self, engine: Engine, policy: HoldPolicy, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock

    def advance(self, run_numbers: Collection[int] | None = None) -> int:
        """Does what is due of these runs, or of all; returns the feed's last sequence, 0 where no book changed.

        A run whose step fails is logged, and due again the next time. Raises SQLAlchemy's errors where the database
        does not even tell what is due.
        """
        last_change = 0
        failed: set[int] = set()
        while due := [number for number in self._due(run_numbers) if number not in failed]:
            number = due[0]  # until nothing is due of it
            try:
                last_change = max(last_change, self._step(number))
            except Exception:
                logger.exception("a run could not be closed", run_number=number)
                failed.add(number)
        return last_change

    def _due(self, run_numbers: Collection[int] | None) -> list[int]:
        with read_connection(self._engine) as connection:
            return RunApprovals(connection).list_due(run_numbers)

    def _step(self, number: int) -> int:
        """Of fewer items where the database refuses what one of them says; that one goes to quarantine at last."""
        limit = _STEP
        while True:
            try:
                return self._in_transaction(number, limit, _Step.take)
            except CONTENT_ERRORS as error:
                if limit == 1:
                    logger.exception("the database refused a staged item", run_number=number)
                    return self._in_transaction(number, 1, partial(_Step.refuse_first, fault=type(error).__name__))
                limit = max(1, limit // 2)

    def _in_transaction(self, number: int, limit: int, work: Callable[["_Step", int], int]) -> int:
        now = to_millis(self._clock())
        policy = self._policy
        return in_transaction(self._engine, lambda connection: work(_Step(connection, policy, now, limit), number))


class _Step:
    """`limit` items at most."""

    def __init__(self, connection: Connection, policy: HoldPolicy, now: int, limit: int) -> None:
        self._catalog = CatalogWriter(connection)
        self._gates = RunApprovals(connection)
        self._absences = MissingOffers(connection, grace=policy.grace)
        self._quarantine = QuarantineWriter(connection)
        self._ledger = RunLedger(connection)
        self._quality = RunQualityWriter(connection)
        self._policy = policy
        self._now = now
        self._limit = limit

    def take(self, number: int) -> int:
        """One step of a run; returns the feed's sequence after it, 0 for no change."""
        self._catalog.lock(exclusive=True)  # its run is locked before its offers, which is not the others' order
        run = self._gates.lock_due(number)
        if run is None:
            return 0
        if run.gate == ApprovalState.DISCARDED:
            return self._discard(run)
        if not run.has_ended:
            return self._apply_staged(run)
        return self._end(run)

    def refuse_first(self, number: int, *, fault: str) -> int:
        """Puts the first staged item into quarantine: the database does not take what it says."""
        self._catalog.lock(exclusive=True)
        run = self._gates.lock_due(number)
        items = self._gates.list_staged(number, limit=1)
        if run is not None and items:
            self._quarantine.add([_unwanted(run, items[0], refused_by_database(fault))], now=self._now)
            self._unstage(run, items, Counter({Verdict.QUARANTINED: 1}), 0)
        return 0

    def _end(self, run: Row[Any]) -> int:
        expect = self._gates.expectations(run)
        absences = self._complete_runs(run)
        if run.gate != ApprovalState.RELEASED:
            hold = self._judge(run, expect, absences)
            if hold.reasons:
                self._gates.hold(run.number, hold)
                return 0
            self._gates.update(run.number, gate=ApprovalState.RELEASED.value)
        if run.staged:
            return self._apply_staged(run)
        if absences is not None:
            self._gates.update(run.number, removes_before=absences.before)
            if missed := self._absences.list_missing(absences, limit=self._limit):
                return self._remove(run, missed)
            if met := self._absences.list_reappeared(absences, limit=self._limit):
                return self._reinstate(run, met)
        seen_by_it = self._complete_runs(run, grace=1)
        self._gates.update(
            run.number,
            state=run.finished_state,
            missed=0 if seen_by_it is None else self._absences.count_missing(seen_by_it) + run.removed,
        )
        return 0

    def _complete_runs(self, run: Row[Any], *, grace: int | None = None) -> CompleteRuns | None:
        """None for a run that removes nothing."""
        if run.finished_state != RunState.COMPLETE or not run.whole_source:
            return None
        return self._absences.complete_runs(run.source, ending=run.number, grace=grace)

    def _judge(self, run: Row[Any], expect: Expectations, absences: CompleteRuns | None) -> Hold:
        is_whole = run.finished_state == RunState.COMPLETE and bool(run.whole_source)
        known = self._absences.count_live(run.source) if run.known is None else run.known
        removes = 0 if absences is None else self._absences.count_missing(absences)
        modifies = run.modified + self._gates.count_live_offers(run.number, run.source)
        figures = RunFigures(
            known=known,
            modifies=modifies
            if removes or run.gate == ApprovalState.PENDING
            else 0,  # of an open gate they are few enough
            removes=removes,
            valid=run.valid,
            refused=run.invalid,
            is_whole=is_whole,
            filled=self._quality.filled_counts(run.number) if expect.fill else {},
        )
        reasons = reasons_to_hold(figures, expect, self._policy.limit(known, expect))
        return Hold(reasons=reasons, known=known, modifies=figures.modifies, removes=figures.removes)

    def _apply_staged(self, run: Row[Any]) -> int:
        items = self._gates.list_staged(run.number, limit=self._limit)
        deliveries = [read_body(item.entry_id, item.body.encode()) for item in items]
        accepted = [one for one in deliveries if isinstance(one, Accepted)]
        refused = [one for one in deliveries if isinstance(one, Refused)]
        verdicts, last_change = take_in(self._catalog, self._absences, accepted)
        self._quarantine.add([quarantined(one) for one in refused], now=self._now)
        counts = Counter(verdict for verdict in verdicts if verdict is not None)
        counts[Verdict.QUARANTINED] += len(refused)
        self._unstage(run, items, counts, last_change)
        return last_change

    def _discard(self, run: Row[Any]) -> int:
        items = self._gates.list_staged(run.number, limit=self._limit)
        if not items:
            self._gates.update(run.number, state=RunState.CANCELLED.value)
            return 0
        reason = FieldError(field="run", code=DISCARDED, message="an operator discarded its run")
        self._quarantine.add([_unwanted(run, item, reason) for item in items], now=self._now)
        self._unstage(run, items, Counter({Verdict.QUARANTINED: len(items)}), 0)
        return 0

    def _unstage(self, run: Row[Any], items: list[StagedItem], counts: Counter[Verdict], last_change: int) -> None:
        self._ledger.add_verdicts(run.number, counts, last_change=last_change, now=self._now)
        self._gates.unstage(run.number, [item.item_number for item in items])

    def _remove(self, run: Row[Any], missed: Any) -> int:
        last_change = withdraw(self._catalog, missed, run_id=run.run_id, moment=run.finished_at)
        self._ledger.add_verdicts(run.number, Counter[Verdict](), last_change=last_change, now=self._now)
        self._gates.update(run.number, removed=run.removed + len(missed))
        return last_change

    def _reinstate(self, run: Row[Any], met: Any) -> int:
        last_change = reinstate(self._catalog, met, run_id=run.run_id, moment=run.finished_at)
        self._ledger.add_verdicts(run.number, Counter[Verdict](), last_change=last_change, now=self._now)
        return last_change


def _unwanted(run: Row[Any], item: StagedItem, reason: FieldError) -> NewQuarantineEntry:
    delivery = read_body(item.entry_id, item.body.encode())
    url = delivery.item.url if isinstance(delivery, Accepted) else None
    body = item.body.encode()
    return NewQuarantineEntry(item.entry_id, run.run_id, run.source, url, body, (reason,), item.source_key)

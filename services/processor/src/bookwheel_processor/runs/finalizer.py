"""Finishes runs: decides whether they are held, applies staged items, and removes missing offers.

Each step is one transaction. Any worker can execute the next step.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from bookwheel_contracts import Expectations, FieldError, Hold, PageOutcome, RunState, Verdict
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import CONTENT_ERRORS, in_transaction, read_connection
from bookwheel_stores.records.catalog.writer import CatalogWriter
from bookwheel_stores.records.runs.approvals import RunApprovals, StagedItem
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_stores.records.runs.missing_offers import CompleteRuns, MissingOffers
from bookwheel_stores.records.runs.quality import RunQualityWriter
from bookwheel_stores.records.runs.quarantine import RUN_DISCARDED_CODE, NewQuarantineEntry, QuarantineWriter
from bookwheel_stores.records.runs.store import ApprovalState, page_column
from bookwheel_stores.records.values import to_millis, utc_now
from sqlalchemy import Connection, Engine, Row

from bookwheel_processor.ingest.apply import apply_items, remove_offers, restore_offers
from bookwheel_processor.ingest.approval import HoldPolicy
from bookwheel_processor.ingest.decoding import AcceptedItem, RejectedEntry, database_error_reason, decode_body
from bookwheel_processor.runs.examples import find_examples
from bookwheel_processor.runs.holds import RunStatistics, reasons_to_hold

_STEP_SIZE = 500
logger = get_logger(__name__)


class RunFinalizer:
    def __init__(self, engine: Engine, policy: HoldPolicy, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._policy = policy
        self._clock = clock

    def advance(self, run_numbers: Collection[int] | None = None) -> int:
        """Execute all due steps of the given runs, or of all runs.

        Returns the sequence of the last change, or 0 if no book changed. A failed step is logged and stays due. Raises
        an SQLAlchemy error if the due runs cannot be read.
        """
        last_change = 0
        failed: set[int] = set()
        while due := [number for number in self._list_due(run_numbers) if number not in failed]:
            number = due[0]  # finish the steps of this run before those of the next run
            try:
                last_change = max(last_change, self._step(number))
            except Exception:
                # A failed run must not stop the other runs.
                logger.exception("run step failed", run_number=number)
                failed.add(number)
        return last_change

    def _list_due(self, run_numbers: Collection[int] | None) -> list[int]:
        with read_connection(self._engine) as connection:
            return RunApprovals(connection).list_due(run_numbers)

    def _step(self, number: int) -> int:
        """Execute one step.

        If the database rejects the items, retry with half of them. Quarantine an item that is rejected alone.
        """
        limit = _STEP_SIZE
        while True:
            try:
                return self._in_transaction(number, limit, _RunStep.apply)
            except CONTENT_ERRORS as error:
                if limit == 1:
                    logger.exception("staged item rejected by database", run_number=number)
                    quarantine = partial(_RunStep.quarantine_first, error_name=type(error).__name__)
                    return self._in_transaction(number, 1, quarantine)
                limit = max(1, limit // 2)

    def _in_transaction(self, number: int, limit: int, step: Callable[["_RunStep", int], int]) -> int:
        now = to_millis(self._clock())
        policy = self._policy
        return in_transaction(self._engine, lambda connection: step(_RunStep(connection, policy, now, limit), number))


class _RunStep:
    """One step, with at most `limit` items or offers."""

    def __init__(self, connection: Connection, policy: HoldPolicy, now: int, limit: int) -> None:
        self._catalog = CatalogWriter(connection)
        self._approvals = RunApprovals(connection)
        self._missing_offers = MissingOffers(connection, grace=policy.grace)
        self._quarantine = QuarantineWriter(connection)
        self._ledger = RunLedger(connection)
        self._quality = RunQualityWriter(connection)
        self._policy = policy
        self._now = now
        self._limit = limit

    def apply(self, number: int) -> int:
        """Execute the step; return the sequence of the last change, or 0 if no book changed."""
        run = self._lock_run(number)
        if run is None:
            return 0
        if run.approval == ApprovalState.DISCARDED:
            return self._discard(run)
        if not run.has_ended:
            return self._apply_staged(run)
        return self._finish(run)

    def quarantine_first(self, number: int, *, error_name: str) -> int:
        """Quarantine the first staged item, whose content the database rejects."""
        run = self._lock_run(number)
        items = self._approvals.list_staged(number, limit=1)
        if run is not None and items:
            self._quarantine.add([_quarantine_entry(run, items[0], database_error_reason(error_name))], now=self._now)
            self._record_verdicts_and_unstage(run, items, Counter({Verdict.QUARANTINED: 1}), 0)
        return 0

    def _lock_run(self, number: int) -> Row[Any] | None:
        # The lock is exclusive to avoid a deadlock: a batch locks offers before runs, this step locks the run first.
        self._catalog.lock(exclusive=True)
        return self._approvals.lock_due(number)

    def _finish(self, run: Row[Any]) -> int:
        expectations = self._approvals.effective_expectations(run)
        complete_runs = self._complete_runs(run)
        if run.approval != ApprovalState.RELEASED:
            hold = self._check_hold_policy(run, expectations, complete_runs)
            if hold.reasons:
                examples = find_examples(self._approvals, self._missing_offers, run, complete_runs)
                self._approvals.hold(run.number, hold, examples)
                return 0
            self._approvals.update(run.number, gate=ApprovalState.RELEASED.value)
        if run.staged:
            return self._apply_staged(run)
        if complete_runs is not None:
            if missing := self._missing_offers.list_missing(complete_runs, limit=self._limit):
                return self._remove(run, missing)
            if reappeared := self._missing_offers.list_reappeared(complete_runs, limit=self._limit):
                return self._restore(run, reappeared)
        # With a grace of 1, all offers that this run did not see are missing.
        this_run = self._complete_runs(run, grace=1)
        missed = 0 if this_run is None else self._missing_offers.count_missing(this_run) + run.removed
        self._approvals.update(run.number, state=run.finished_state, missed=missed)
        return 0

    def _complete_runs(self, run: Row[Any], *, grace: int | None = None) -> CompleteRuns | None:
        """Return the complete runs that decide which offers are missing; None if this run was not complete."""
        if run.finished_state != RunState.COMPLETE or not run.whole_source:
            return None
        return self._missing_offers.get_complete_runs(run.source, last_run=run.number, grace=grace)

    def _check_hold_policy(self, run: Row[Any], expectations: Expectations, complete_runs: CompleteRuns | None) -> Hold:
        known_offers = self._missing_offers.count_live(run.source) if run.known is None else run.known
        offers_to_remove = 0 if complete_runs is None else self._missing_offers.count_missing(complete_runs)
        offers_to_modify = 0
        if offers_to_remove or run.approval == ApprovalState.PENDING:  # an approved run is within its limit
            offers_to_modify = run.modified + self._approvals.count_live_offers(run.number, run.source)
        statistics = RunStatistics(
            known_offers=known_offers,
            offers_to_modify=offers_to_modify,
            offers_to_remove=offers_to_remove,
            valid=run.valid,
            rejected=run.invalid,
            covers_whole_source=run.finished_state == RunState.COMPLETE and bool(run.whole_source),
            filled=self._quality.filled_counts(run.number) if expectations.fill else {},
            pages={outcome: getattr(run, page_column(outcome).name) for outcome in PageOutcome},
        )
        reasons = reasons_to_hold(statistics, expectations, self._policy.limit(known_offers, expectations))
        return Hold(reasons=reasons, known=known_offers, modifies=offers_to_modify, removes=offers_to_remove)

    def _apply_staged(self, run: Row[Any]) -> int:
        items = self._approvals.list_staged(run.number, limit=self._limit)
        entries = [decode_body(item.entry_id, item.body.encode()) for item in items]
        accepted = [entry for entry in entries if isinstance(entry, AcceptedItem)]
        rejected = [entry for entry in entries if isinstance(entry, RejectedEntry)]
        verdicts, last_change = apply_items(self._catalog, self._missing_offers, accepted)
        self._quarantine.add([entry.for_quarantine() for entry in rejected], now=self._now)
        counts = Counter(verdict for verdict in verdicts if verdict is not None)
        counts[Verdict.QUARANTINED] += len(rejected)
        self._record_verdicts_and_unstage(run, items, counts, last_change)
        return last_change

    def _discard(self, run: Row[Any]) -> int:
        items = self._approvals.list_staged(run.number, limit=self._limit)
        if not items:
            self._approvals.update(run.number, state=RunState.CANCELLED.value)
            return 0
        reason = FieldError(field="run", code=RUN_DISCARDED_CODE, message="an operator discarded the run of this item")
        self._quarantine.add([_quarantine_entry(run, item, reason) for item in items], now=self._now)
        self._record_verdicts_and_unstage(run, items, Counter({Verdict.QUARANTINED: len(items)}), 0)
        return 0

    def _record_verdicts_and_unstage(
        self, run: Row[Any], items: list[StagedItem], counts: Counter[Verdict], last_change: int
    ) -> None:
        self._ledger.add_verdicts(run.number, counts, last_change=last_change, now=self._now)
        self._approvals.unstage(run.number, [item.item_number for item in items])

    def _remove(self, run: Row[Any], offers: Sequence[dict[str, Any]]) -> int:
        last_change = remove_offers(self._catalog, offers, run_id=run.run_id, removed_at=run.finished_at)
        self._ledger.add_verdicts(run.number, {}, last_change=last_change, now=self._now)
        self._approvals.update(run.number, removed=run.removed + len(offers))
        return last_change

    def _restore(self, run: Row[Any], offers: Sequence[dict[str, Any]]) -> int:
        last_change = restore_offers(self._catalog, offers, run_id=run.run_id, restored_at=run.finished_at)
        self._ledger.add_verdicts(run.number, {}, last_change=last_change, now=self._now)
        return last_change


def _quarantine_entry(run: Row[Any], item: StagedItem, reason: FieldError) -> NewQuarantineEntry:
    body = item.body.encode()
    entry = decode_body(item.entry_id, body)
    url = entry.raw_item.url if isinstance(entry, AcceptedItem) else None
    return NewQuarantineEntry(item.entry_id, run.run_id, run.source, url, body, (reason,), item.source_key)

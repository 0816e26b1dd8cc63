"""Loads the approvals of a batch's runs and stages items of pending runs, in the caller's transaction."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from bookwheel_contracts import Expectations
from bookwheel_stores.records.runs.approvals import ApprovalRow, RunApprovals, StagedItem
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quarantine import escape_body
from bookwheel_stores.records.runs.store import ApprovalState
from sqlalchemy import Connection

from bookwheel_processor.ingest.approval import HoldPolicy, RunApproval
from bookwheel_processor.ingest.decoding import AcceptedItem


class BatchApprovals:
    def __init__(self, connection: Connection, missing_offers: MissingOffers, policy: HoldPolicy) -> None:
        self._run_approvals = RunApprovals(connection)
        self._missing_offers = missing_offers
        self._policy = policy
        self._pending: dict[str, RunApproval] = {}

    def load(
        self,
        run_numbers: Collection[int],
        expectations_by_run: Mapping[str, Expectations],
        site_by_run: Mapping[str, str | None],
    ) -> Mapping[str, RunApproval]:
        """Load the pending approvals of these runs, by run id.

        `expectations_by_run` contains the runs that start in this batch. Both mappings are keyed by run id.
        """
        for row in self._run_approvals.get(run_numbers):
            if row.state not in (ApprovalState.APPROVED, ApprovalState.RELEASED):
                expectations = expectations_by_run.get(row.run_id, row.expectations)
                self._pending[row.run_id] = self._approval(row, expectations, site_by_run.get(row.run_id))
        return self._pending

    def stage(self, items: Sequence[AcceptedItem]) -> None:
        """Stage items and record which runs are now approved. Call it after the catalog has changed."""
        staged_by_run: dict[str, list[StagedItem]] = defaultdict(list)
        for item in items:
            body = escape_body(item.body)
            staged_by_run[item.raw_item.run_id].append(
                StagedItem(item.raw_item.item_number, item.offer.source_key, item.entry_id, body)
            )
        for run_id, approval in sorted(self._pending.items(), key=lambda entry: entry[1].run_number):
            self._run_approvals.stage(approval.run_number, staged_by_run[run_id])
            self._run_approvals.record_batch(
                approval.run_number,
                known_offers=approval.known_offers,
                staged=len(staged_by_run[run_id]),
                approves=approval.allows_updates,
            )

    def _approval(self, row: ApprovalRow, expectations: Expectations, site: str | None) -> RunApproval:
        known_offers = row.known_offers
        if known_offers is None:
            known_offers = self._missing_offers.count_live(row.source, site)
        return RunApproval(
            run_number=row.number,
            known_offers=known_offers,
            limit=self._policy.limit(known_offers, expectations),
            unchanged=row.unchanged,
            judged_at_end=expectations.items is not None or bool(expectations.fill) or bool(expectations.pages),
        )

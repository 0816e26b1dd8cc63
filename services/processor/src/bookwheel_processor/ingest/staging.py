"""The approvals of a batch's runs, and the staging of items that must wait for one. In the caller's transaction."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from bookwheel_contracts import Expectations
from bookwheel_stores.records.runs.approvals import ApprovalRow, RunApprovals, StagedItem
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quarantine import storable
from bookwheel_stores.records.runs.store import ApprovalState
from sqlalchemy import Connection

from bookwheel_processor.ingest.approval import HoldPolicy, RunApproval
from bookwheel_processor.ingest.decoding import AcceptedItem


class BatchApprovals:
    def __init__(self, connection: Connection, missing_offers: MissingOffers, policy: HoldPolicy) -> None:
        self._rows = RunApprovals(connection)
        self._missing_offers = missing_offers
        self._policy = policy
        self._pending: dict[str, RunApproval] = {}

    def load(
        self, run_numbers: Collection[int], started: Mapping[str, Expectations], sites: Mapping[str, str | None]
    ) -> Mapping[str, RunApproval]:
        """The approvals of these runs that are pending, by run id.

        `started` are the expectations of runs that start in this batch, `sites` those of the runs' items.
        """
        for row in self._rows.get(run_numbers):
            if row.state not in (ApprovalState.APPROVED, ApprovalState.RELEASED):
                expect = started.get(row.run_id, row.expectations)
                self._pending[row.run_id] = self._approval(row, expect, sites.get(row.run_id))
        return self._pending

    def stage(self, items: Sequence[AcceptedItem]) -> None:
        """Stage items, and record which runs are approved by now. Call it after the catalog is changed."""
        staged: dict[str, list[StagedItem]] = defaultdict(list)
        for item in items:
            body = storable(item.body)
            staged[item.item.run_id].append(
                StagedItem(item.item.item_number, item.offer.source_key, item.entry_id, body)
            )
        for run_id, approval in sorted(self._pending.items(), key=lambda entry: entry[1].run_number):
            self._rows.stage(approval.run_number, staged[run_id])
            self._rows.record_batch(
                approval.run_number,
                known_offers=approval.known_offers,
                staged=len(staged[run_id]),
                approves=approval.allows_updates,
            )

    def _approval(self, row: ApprovalRow, expect: Expectations, site: str | None) -> RunApproval:
        known_offers = row.known_offers
        if known_offers is None:
            known_offers = self._missing_offers.count_live(row.source, site)
        return RunApproval(
            run_number=row.number,
            known_offers=known_offers,
            limit=self._policy.limit(known_offers, expect),
            unchanged=row.unchanged,
            judged_at_end=expect.items is not None or bool(expect.fill),
        )

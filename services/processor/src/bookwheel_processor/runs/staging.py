"""The gates of a batch's runs, and what stays before them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from bookwheel_contracts import Expectations
from bookwheel_stores.records.runs.approvals import ApprovalRow, RunApprovals, StagedItem
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quarantine import storable
from bookwheel_stores.records.runs.store import ApprovalState
from sqlalchemy import Connection

from bookwheel_processor.ingest.decoding import Accepted
from bookwheel_processor.runs.approval import HoldPolicy, RunApproval


class BatchApprovals:
    """Works inside the caller's transaction."""

    def __init__(self, connection: Connection, absences: MissingOffers, policy: HoldPolicy) -> None:
        self._rows = RunApprovals(connection)
        self._absences = absences
        self._policy = policy
        self._gates: dict[str, RunApproval] = {}

    def of(
        self, run_numbers: Collection[int], started: Mapping[str, Expectations], sites: Mapping[str, str | None]
    ) -> Mapping[str, RunApproval]:
        """The gates of these runs that are not open, by the runs' ids; `started` are those that start in this batch.
        `sites` as in the runs' items."""
        for row in self._rows.get(run_numbers):
            if row.state not in (ApprovalState.APPROVED, ApprovalState.RELEASED):
                self._gates[row.run_id] = self._gate(
                    row, started.get(row.run_id, row.expectations), sites.get(row.run_id)
                )
        return self._gates

    def keep(self, staged: Sequence[Accepted]) -> None:
        """Stages items, and notes which gates have opened meanwhile. After the catalog is changed."""
        by_run: dict[str, list[StagedItem]] = defaultdict(list)
        for one in staged:
            body = storable(one.body)
            by_run[one.item.run_id].append(StagedItem(one.item.item_number, one.offer.source_key, one.entry_id, body))
        for run_id, gate in sorted(self._gates.items(), key=lambda each: each[1].run_number):
            self._rows.stage(gate.run_number, by_run[run_id])
            opens = gate.lets_through
            self._rows.record_batch(
                gate.run_number, known_offers=gate.known, staged=len(by_run[run_id]), approves=opens
            )

    def _gate(self, row: ApprovalRow, expect: Expectations, site: str | None) -> RunApproval:
        known = self._absences.count_live(row.source, site) if row.known_offers is None else row.known_offers
        return RunApproval(
            run_number=row.number,
            is_open=False,
            known=known,
            limit=self._policy.limit(known, expect),
            unchanged=row.unchanged,
            waits=expect.items is not None or bool(expect.fill),
        )

"""Which items may change the catalog while their run arrives, and the staging of those that may not yet."""

import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import Expectations
from bookwheel_stores.records.runs.approvals import ApprovalRow, RunApprovals, StagedItem
from bookwheel_stores.records.runs.missing_offers import MissingOffers
from bookwheel_stores.records.runs.quarantine import storable
from bookwheel_stores.records.runs.store import ApprovalState
from sqlalchemy import Connection

from bookwheel_processor.ingest.decoding import Accepted

UNLIMITED = 2**62


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """What runs are held to where their source does not declare it: see `Expectations`."""

    share: float = 0.2
    floor: int = 20
    grace: int = 2

    def limit(self, known: int, expect: Expectations) -> int:
        """How many of the source's `known` offers a run may modify or remove; `UNLIMITED` for as many as it likes."""
        share = self.share if expect.share is None else expect.share
        floor = self.floor if expect.floor is None else expect.floor
        return UNLIMITED if known < floor or share >= 1 else math.floor(known * share)


USUAL_POLICY = HoldPolicy()


@dataclass(slots=True)
class RunApproval:
    """A run's gate while its items arrive. `known` offers had the source when it began, of which it has seen
    `unchanged`; `limit` of them it may modify or remove. One that `waits` is judged at the run's end at the earliest.
    """

    run_number: int
    is_open: bool
    known: int
    limit: int
    unchanged: int
    waits: bool

    @property
    def lets_through(self) -> bool:
        """Whether it is certain that the limit cannot be exceeded: only what was not seen unchanged can still be
        modified or removed."""
        return self.is_open or (not self.waits and self.unchanged >= self.known - self.limit)

    @property
    def lets_add(self) -> bool:
        """Whether new offers go into the catalog at once: unless the run is to be judged by what it has, and there is
        something already that it could spoil."""
        return self.is_open or not self.waits or self.known == 0


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

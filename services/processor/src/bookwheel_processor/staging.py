"""The gates of a batch's runs, and what stays before them."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from bookwheel_contracts import Expectations
from bookwheel_stores.records.absences import Absences
from bookwheel_stores.records.quarantine_store import storable
from bookwheel_stores.records.run_gates import GateRow, HeldItem, RunGates
from bookwheel_stores.records.run_store import GateState
from sqlalchemy import Connection

from bookwheel_processor.deliveries import Accepted
from bookwheel_processor.gates import Gate, HoldPolicy


class BatchGates:
    """Works inside the caller's transaction."""

    def __init__(self, connection: Connection, absences: Absences, policy: HoldPolicy) -> None:
        self._rows = RunGates(connection)
        self._absences = absences
        self._policy = policy
        self._gates: dict[str, Gate] = {}

    def of(
        self, run_numbers: Collection[int], started: Mapping[str, Expectations], sites: Mapping[str, str | None]
    ) -> Mapping[str, Gate]:
        """The gates of these runs that are not open, by the runs' ids; `started` are those that start in this batch.
        `sites` as in the runs' items."""
        for row in self._rows.look(run_numbers):
            if row.gate not in (GateState.OPEN, GateState.RELEASED):
                self._gates[row.run_id] = self._gate(row, started.get(row.run_id, row.expect), sites.get(row.run_id))
        return self._gates

    def keep(self, staged: Sequence[Accepted]) -> None:
        """Stages items, and notes which gates have opened meanwhile. After the catalogue is changed."""
        by_run: dict[str, list[HeldItem]] = defaultdict(list)
        for one in staged:
            body = storable(one.body)
            by_run[one.item.run_id].append(HeldItem(one.item.item_number, one.offer.source_key, one.entry_id, body))
        for run_id, gate in sorted(self._gates.items(), key=lambda each: each[1].run_number):
            self._rows.stage(gate.run_number, by_run[run_id])
            opens = gate.lets_through
            self._rows.note(gate.run_number, known=gate.known, staged=len(by_run[run_id]), opens=opens)

    def _gate(self, row: GateRow, expect: Expectations, site: str | None) -> Gate:
        known = self._absences.live(row.source, site) if row.known is None else row.known
        return Gate(
            run_number=row.number,
            is_open=False,
            known=known,
            limit=self._policy.limit(known, expect),
            unchanged=row.unchanged,
            waits=expect.items is not None or bool(expect.fill),
        )

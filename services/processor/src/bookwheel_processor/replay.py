"""Takes quarantined items in once more, by the rules of today, and moves their accounting along."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from bookwheel_contracts import Verdict
from bookwheel_stores.records import in_transaction
from bookwheel_stores.records.catalogue_writer import CatalogueWriter
from bookwheel_stores.records.quarantine_store import Quarantined, QuarantineStore, QuarantineWriter
from bookwheel_stores.records.run_ledger import RunLedger
from bookwheel_stores.records.values import to_millis
from sqlalchemy import Connection, Engine

from bookwheel_processor.catalogue import take_in
from bookwheel_processor.deliveries import Accepted, Refused, read_body
from bookwheel_processor.ingest import utc_now

_PAGE = 200


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """`verdicts` of the items that were taken in; `rejected` stay in quarantine with their reasons of today."""

    verdicts: Counter[Verdict]
    rejected: int


class Replay:
    def __init__(self, engine: Engine, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._clock = clock
        self._store = QuarantineStore(engine)

    def all(self) -> ReplayResult:
        """Everything in quarantine, oldest first."""
        verdicts: Counter[Verdict] = Counter()
        rejected = number = 0
        while page := self._store.open(after_number=number, limit=_PAGE):
            number = page[-1].number
            for item in page:
                verdict = self.one(item)
                if verdict is None:
                    rejected += 1
                else:
                    verdicts[verdict] += 1
        return ReplayResult(verdicts, rejected)

    def number(self, number: int) -> ReplayResult | None:
        """The one with this number; None where it is not in quarantine."""
        found = self._store.open(after_number=number - 1, limit=1)
        if not found or found[0].number != number:
            return None
        verdict = self.one(found[0])
        return ReplayResult(Counter([verdict] if verdict else []), 0 if verdict else 1)

    def one(self, item: Quarantined) -> Verdict | None:
        """The item's new verdict, in one transaction with its effects; None where it is still rejected."""
        delivery = read_body(item.entry_id, item.body.encode())
        if not isinstance(delivery, Accepted):
            if isinstance(delivery, Refused):
                with self._engine.begin() as connection:
                    QuarantineWriter(connection).still_rejected(item.number, delivery.reasons)
            return None
        now = to_millis(self._clock())

        def take(connection: Connection) -> Verdict | None:
            if not QuarantineWriter(connection).take(item.number, now=now):
                return None
            return _take(RunLedger(connection), CatalogueWriter(connection), item, delivery, now)

        return in_transaction(self._engine, take)


def _take(ledger: RunLedger, catalogue: CatalogueWriter, item: Quarantined, accepted: Accepted, now: int) -> Verdict:
    run_id = accepted.item.run_id
    run = ledger.open({run_id: accepted.item.source}, now=now)[run_id]
    moved: Counter[Verdict] = Counter()
    if item.run_id is None:  # it counted for no run while nothing in it could be read
        if not ledger.unseen(run, [accepted.item.item_number]):
            return Verdict.DUPLICATE
        ledger.sign(run, [accepted.item.item_number])
    else:
        moved[Verdict.QUARANTINED] -= 1
    [verdict], last_change = take_in(catalogue, [accepted])
    moved[verdict] += 1
    ledger.hold([run])
    ledger.account(run, moved, last_change=last_change, now=now)
    ledger.settle([run])
    return verdict

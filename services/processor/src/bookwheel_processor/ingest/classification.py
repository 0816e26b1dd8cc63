"""Classifies items by their offers' rows. Has no side effects."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bookwheel_contracts import Verdict
from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.database.dialect import Row

from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.approval import RunApproval


class Sighting(NamedTuple):
    """When and in which item an offer was seen. `seen_at` in milliseconds since 1970.

    Sightings compare in this order. No two items have equal sightings, so an offer's last sighting does not depend on
    the order of arrival.
    """

    seen_at: int
    run_id: str
    item_number: int


class ChangeOrigin(NamedTuple):
    """When and by which run a book changed. `changed_at` in milliseconds since 1970."""

    changed_at: int
    run_id: str


@dataclass(slots=True)
class IncomingOffer:
    """An offer as an item shows it. `row` is the offer's current row, None for a new offer.

    `valid_from` is the start of its new observation, in milliseconds.
    """

    offer: CleanOffer
    columns: Mapping[str, Any]
    sighting: Sighting
    row: Row | None
    valid_from: int

    @property
    def key(self) -> OfferKey:
        return self.offer.source, self.offer.source_key

    @property
    def first_seen(self) -> int:
        seen_at = self.sighting.seen_at
        return seen_at if self.row is None else min(seen_at, self.row["first_seen"])

    @property
    def is_live(self) -> bool:
        """Whether the offer has a row and is not removed."""
        return self.row is not None and self.row["removed_at"] is None

    @property
    def sighting_columns(self) -> Row:
        seen_at, run_id, item_number = self.sighting
        return {"last_seen": seen_at, "last_run": run_id, "last_item": item_number}


@dataclass(slots=True)
class ClassifiedOffers:
    """Incoming offers, grouped by the row changes that they cause.

    - `changed`: the offer is added or modified
    - `sighting_updates`: only the last sighting is new
    - `earlier_first_seen`: the item is older than the offer's `first_seen`
    - `stale_but_removed`: the item is newer than the last sighting of its removed offer, but stale (see `classify`), so
      the offer stays removed
    - `verdicts`: by offer; None if the item must be staged
    """

    verdicts: dict[OfferKey, Verdict | None] = field(default_factory=dict)
    changed: list[IncomingOffer] = field(default_factory=list)
    sighting_updates: list[IncomingOffer] = field(default_factory=list)
    earlier_first_seen: list[IncomingOffer] = field(default_factory=list)
    stale_but_removed: list[IncomingOffer] = field(default_factory=list)


def is_newer(row: Row, sighting: Sighting) -> bool:
    """Whether the sighting is newer than the last sighting in the offer's row."""
    seen_at: int = row["last_seen"]
    if sighting.seen_at != seen_at:
        return sighting.seen_at > seen_at
    return sighting > (seen_at, row["last_run"], row["last_item"])


def classify(row: Row | None, fingerprint: str, sighting: Sighting, *, is_stale: bool = False) -> Verdict:
    """Return the verdict on an item. `row` is the row of its offer.

    Items arrive in any order. An item is stale if later complete runs did not see its offer. An item is a duplicate in
    three cases: it is not newer than the row, its run saw the same content before, or it is stale and its offer is
    removed. A removed offer that is seen again counts as added.
    """
    if row is None:
        return Verdict.ADDED
    if not is_newer(row, sighting):
        return Verdict.DUPLICATE
    if row["removed_at"] is not None:
        return Verdict.DUPLICATE if is_stale else Verdict.ADDED
    if row["fingerprint"] != fingerprint:
        return Verdict.MODIFIED
    return Verdict.DUPLICATE if row["last_run"] == sighting.run_id else Verdict.UNCHANGED


def classify_offers(
    offers: Sequence[IncomingOffer], approvals: Mapping[str, RunApproval], stale: Container[OfferKey]
) -> ClassifiedOffers:
    """Classify offers, each of which occurs once. Add the unchanged ones to the counts of `approvals`."""
    by_verdict: dict[Verdict, list[IncomingOffer]] = {verdict: [] for verdict in Verdict}
    verdicts: dict[OfferKey, Verdict | None] = {}
    for incoming in offers:
        fingerprint = incoming.columns["fingerprint"]
        verdict = classify(incoming.row, fingerprint, incoming.sighting, is_stale=incoming.key in stale)
        verdicts[incoming.key] = verdict
        by_verdict[verdict].append(incoming)
    added, modified = by_verdict[Verdict.ADDED], by_verdict[Verdict.MODIFIED]
    if approvals:
        for run_id, count in Counter(incoming.sighting.run_id for incoming in by_verdict[Verdict.UNCHANGED]).items():
            if run_id in approvals:
                approvals[run_id].unchanged += count
        runs_without_updates = {run_id for run_id, approval in approvals.items() if not approval.allows_updates}
        runs_without_additions = {run_id for run_id, approval in approvals.items() if not approval.allows_additions}
        verdicts |= {incoming.key: None for incoming in modified if incoming.sighting.run_id in runs_without_updates}
        verdicts |= {incoming.key: None for incoming in added if incoming.sighting.run_id in runs_without_additions}
    classified = ClassifiedOffers(verdicts, sighting_updates=by_verdict[Verdict.UNCHANGED])
    classified.changed = [incoming for incoming in (*added, *modified) if verdicts[incoming.key] is not None]
    for incoming in by_verdict[Verdict.DUPLICATE]:
        if incoming.row is None:
            continue
        if is_newer(incoming.row, incoming.sighting):
            (classified.sighting_updates if incoming.is_live else classified.stale_but_removed).append(incoming)
        elif incoming.sighting.seen_at < incoming.row["first_seen"]:
            classified.earlier_first_seen.append(incoming)
    return classified

"""Which verdict an item gets, given its offer's row. Pure."""

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


@dataclass(slots=True)
class IncomingOffer:
    """An offer as an item shows it, and the offer's row before, None for a new offer.

    `valid_from`: since when its content is in force, in milliseconds.
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
    """Incoming offers by what the plan does with them.

    `changed` are added or modified. Of those `seen_again` only the last sighting is new. Those `seen_earlier` were seen
    before everything known of them. Those `late` are removed and stay so, but their item is newer than their row.
    `verdicts` has None for offers whose item must be staged.
    """

    verdicts: dict[OfferKey, Verdict | None] = field(default_factory=dict)
    changed: list[IncomingOffer] = field(default_factory=list)
    seen_again: list[IncomingOffer] = field(default_factory=list)
    seen_earlier: list[IncomingOffer] = field(default_factory=list)
    late: list[IncomingOffer] = field(default_factory=list)


def is_newer(row: Row, sighting: Sighting) -> bool:
    """Whether the sighting is newer than the last one of the offer's row."""
    seen_at: int = row["last_seen"]
    if sighting.seen_at != seen_at:
        return sighting.seen_at > seen_at
    return sighting > (seen_at, row["last_run"], row["last_item"])


def classify(row: Row | None, fingerprint: str, sighting: Sighting, *, is_stale: bool = False) -> Verdict:
    """The verdict on an item. `row` is its offer's; `is_stale`: later complete runs have missed the offer.

    Items arrive in any order. The newest one counts, and an older one is a duplicate. Duplicates are also an item that
    repeats what its run has said of the offer, and a stale item of a removed offer. A removed offer that is seen again
    counts as added.
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
    incoming: Sequence[IncomingOffer], approvals: Mapping[str, RunApproval], stale: Container[OfferKey]
) -> ClassifiedOffers:
    """Classify offers, each at most once. Counts the unchanged ones in `approvals`."""
    by_verdict: dict[Verdict, list[IncomingOffer]] = {verdict: [] for verdict in Verdict}
    verdicts: dict[OfferKey, Verdict | None] = {}
    for item in incoming:
        verdict = classify(item.row, item.columns["fingerprint"], item.sighting, is_stale=item.key in stale)
        verdicts[item.key] = verdict
        by_verdict[verdict].append(item)
    added, modified = by_verdict[Verdict.ADDED], by_verdict[Verdict.MODIFIED]
    if approvals:
        for run_id, count in Counter(item.sighting.run_id for item in by_verdict[Verdict.UNCHANGED]).items():
            if run_id in approvals:
                approvals[run_id].unchanged += count
        updating = {run_id for run_id, approval in approvals.items() if not approval.allows_updates}
        adding = {run_id for run_id, approval in approvals.items() if not approval.allows_additions}
        verdicts |= {item.key: None for item in modified if item.sighting.run_id in updating}
        verdicts |= {item.key: None for item in added if item.sighting.run_id in adding}
    classified = ClassifiedOffers(verdicts, seen_again=by_verdict[Verdict.UNCHANGED])
    classified.changed = [item for item in (*added, *modified) if verdicts[item.key] is not None]
    for item in by_verdict[Verdict.DUPLICATE]:
        if item.row is None:
            continue
        if is_newer(item.row, item.sighting):
            (classified.seen_again if item.is_live else classified.late).append(item)
        elif item.sighting.seen_at < item.row["first_seen"]:
            classified.seen_earlier.append(item)
    return classified

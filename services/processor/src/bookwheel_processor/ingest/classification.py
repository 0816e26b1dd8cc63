"""What becomes of an item, given what is known of its offer."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bookwheel_contracts import Verdict


class Sighting(NamedTuple):
    """When and in which item an offer was seen. `seen_at` in milliseconds since 1970.

    Sightings compare in this order. No two items are equal in it, so which of them is an offer's last does not depend
    on which of them arrives last.
    """

    seen_at: int
    run_id: str
    item_number: int


def is_newer(known: Mapping[str, Any], sighting: Sighting) -> bool:
    """Than all that was seen of the offer before."""
    seen_at: int = known["last_seen"]
    if sighting.seen_at != seen_at:
        return sighting.seen_at > seen_at
    return sighting > (seen_at, known["last_run"], known["last_item"])


def judge(known: Mapping[str, Any] | None, fingerprint: str, sighting: Sighting, *, is_gone: bool = False) -> Verdict:
    """`known` is the offer's row, None for a new offer; `is_gone`: complete runs have missed the offer since.

    Items arrive in any order: whichever is newest is what counts, an older one is a duplicate. So is an item that
    repeats, within one run, what the run already said of the offer, and one of an offer that is removed and gone. An
    offer that is back counts as added.
    """
    if known is None:
        return Verdict.ADDED
    if not is_newer(known, sighting):
        return Verdict.DUPLICATE
    if known["removed_at"] is not None:
        return Verdict.DUPLICATE if is_gone else Verdict.ADDED
    if known["fingerprint"] != fingerprint:
        return Verdict.MODIFIED
    return Verdict.DUPLICATE if known["last_run"] == sighting.run_id else Verdict.UNCHANGED

"""What becomes of an item, given what is known of its offer."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from bookwheel_contracts import Verdict

_NONE_GONE: Mapping[str, int] = MappingProxyType({})


class Sighting(NamedTuple):
    """When and in which item an offer was seen. `seen_at` in milliseconds since 1970."""

    seen_at: int
    run_id: str
    item_number: int


def judge(
    known: Mapping[str, Any] | None,
    fingerprint: str,
    sighting: Sighting,
    gone_before: Mapping[str, int] = _NONE_GONE,
) -> Verdict:
    """`known` is the offer's row, None for a new offer; `gone_before` tells since when a source's runs miss offers.

    Items arrive in any order: whichever was scraped last is what counts, an older one is a duplicate. So is an item
    that repeats, within one run, what the run already said of the offer, and one of an offer that was missed since.
    An offer that is back counts as added.
    """
    if known is None:
        return Verdict.ADDED
    if known["removed_at"] is not None:
        is_old = sighting.seen_at <= known["last_seen"] or sighting.seen_at < gone_before.get(known["source"], 0)
        return Verdict.DUPLICATE if is_old else Verdict.ADDED
    same_run = known["last_run"] == sighting.run_id
    if sighting.seen_at < known["last_seen"] or (same_run and _repeats(known, fingerprint, sighting)):
        return Verdict.DUPLICATE
    return Verdict.UNCHANGED if known["fingerprint"] == fingerprint else Verdict.MODIFIED


def _repeats(known: Mapping[str, Any], fingerprint: str, sighting: Sighting) -> bool:
    is_older = (sighting.seen_at, sighting.item_number) <= (known["last_seen"], known["last_item"])
    return is_older or known["fingerprint"] == fingerprint

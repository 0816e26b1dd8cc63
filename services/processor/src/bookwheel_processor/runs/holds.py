"""Whether a finished run is held for an operator. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import Expectations, HoldReason


@dataclass(frozen=True, slots=True)
class RunFigures:
    """The figures of a run that has ended.

    - `known_offers`: offers that the source had when the run began
    - `modifies`, `removes`: how many of them the run would change
    - `valid`, `rejected`: counts of its items
    - `is_whole`: whether it was to see the whole source, and did
    - `filled`: how many valid items have each field
    """

    known_offers: int
    modifies: int
    removes: int
    valid: int
    rejected: int
    is_whole: bool
    filled: Mapping[str, int]


def reasons_to_hold(figures: RunFigures, expect: Expectations, limit: int) -> tuple[HoldReason, ...]:
    """Empty for a run that may change the catalog."""
    return (*_check_share(figures, limit), *_check_items(figures, expect), *_check_fill(figures, expect))


def _check_share(figures: RunFigures, limit: int) -> Sequence[HoldReason]:
    changes = figures.modifies + figures.removes
    if changes <= limit:
        return ()
    message = (
        f"it would modify {figures.modifies} and remove {figures.removes} of {figures.known_offers} offers,"
        f" where {limit} may change"
    )
    return (HoldReason(code="share", limit=limit, actual=changes, message=message),)


def _check_items(figures: RunFigures, expect: Expectations) -> Sequence[HoldReason]:
    if expect.items is None or not figures.is_whole or figures.valid >= expect.items:
        return ()
    message = f"it has {figures.valid} valid items, where at least {expect.items} are expected"
    return (HoldReason(code="items", limit=expect.items, actual=figures.valid, message=message),)


def _check_fill(figures: RunFigures, expect: Expectations) -> Sequence[HoldReason]:
    reasons = []
    for name, minimum in sorted(expect.fill.items()):
        share = figures.filled.get(name, 0) / figures.valid if figures.valid else float(not figures.rejected)
        if share < minimum:
            message = f"{share:.1%} of its items have {name}, where at least {minimum:.1%} are expected"
            reasons.append(HoldReason(code="fill", field=name, limit=minimum, actual=round(share, 4), message=message))
    return reasons

"""Whether a finished run is held for an operator, by its figures alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import Expectations, HoldReason


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What a run that has ended comes to. `filled` of its `valid` items have a field; the rules `refused` others. One
    that `is_whole` was to see all of its source, and did."""

    known: int
    modifies: int
    removes: int
    valid: int
    refused: int
    is_whole: bool
    filled: Mapping[str, int]


def reasons_to_hold(figures: RunFigures, expect: Expectations, limit: int) -> tuple[HoldReason, ...]:
    """Empty for a run that may touch the catalog."""
    return (*_share(figures, limit), *_items(figures, expect), *_fill(figures, expect))


def _share(figures: RunFigures, limit: int) -> Sequence[HoldReason]:
    touched = figures.modifies + figures.removes
    if touched <= limit:
        return ()
    message = (
        f"it would modify {figures.modifies} and remove {figures.removes} of {figures.known} offers,"
        f" where {limit} may change"
    )
    return (HoldReason(code="share", limit=limit, actual=touched, message=message),)


def _items(figures: RunFigures, expect: Expectations) -> Sequence[HoldReason]:
    if expect.items is None or not figures.is_whole or figures.valid >= expect.items:
        return ()
    message = f"it has {figures.valid} valid items, where at least {expect.items} are expected"
    return (HoldReason(code="items", limit=expect.items, actual=figures.valid, message=message),)


def _fill(figures: RunFigures, expect: Expectations) -> Sequence[HoldReason]:
    reasons = []
    for name, least in sorted(expect.fill.items()):
        share = figures.filled.get(name, 0) / figures.valid if figures.valid else float(not figures.refused)
        if share < least:
            message = f"{share:.1%} of its items have {name}, where at least {least:.1%} are expected"
            reasons.append(HoldReason(code="fill", field=name, limit=least, actual=round(share, 4), message=message))
    return reasons

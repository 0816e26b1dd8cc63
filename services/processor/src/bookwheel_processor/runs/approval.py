"""Whether what a run modifies may touch the catalog: the judgement on a run, from its figures alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import Expectations, HoldReason

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

"""Whether the items of a run may change the catalog while the run arrives. Pure."""

import math
from dataclasses import dataclass

from bookwheel_contracts import Expectations

UNLIMITED = 2**62


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """Default limits of runs whose source declares none: see `Expectations`."""

    share: float = 0.2
    floor: int = 20
    grace: int = 2

    def limit(self, known_offers: int, expect: Expectations) -> int:
        """How many of the source's offers a run may modify or remove."""
        share = self.share if expect.share is None else expect.share
        floor = self.floor if expect.floor is None else expect.floor
        return UNLIMITED if known_offers < floor or share >= 1 else math.floor(known_offers * share)


DEFAULT_POLICY = HoldPolicy()


@dataclass(slots=True)
class RunApproval:
    """The approval state of a pending run while its items arrive.

    The source had `known_offers` when the run began. The run has seen `unchanged` of them, and may modify or remove
    `limit`. A run that is `judged_at_end` cannot be approved before.
    """

    run_number: int
    known_offers: int
    limit: int
    unchanged: int
    judged_at_end: bool

    @property
    def allows_updates(self) -> bool:
        """Whether the run cannot exceed its limit any more: offers that it has seen unchanged stay as they are."""
        return not self.judged_at_end and self.unchanged >= self.known_offers - self.limit

    @property
    def allows_additions(self) -> bool:
        """Whether new offers are added at once.

        Not where the run is judged by all of its items and the source has offers that it could spoil.
        """
        return not self.judged_at_end or self.known_offers == 0

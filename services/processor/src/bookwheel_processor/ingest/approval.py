"""Decides whether items may change the catalog before their run ends. Has no side effects."""

import math
from dataclasses import dataclass

from bookwheel_contracts import Expectations

UNLIMITED = 2**62


@dataclass(frozen=True, slots=True)
class HoldPolicy:
    """Default limits, for sources that declare none.

    - `share`: the share of a source's offers that a run may modify or remove
    - `floor`: the number of offers below which the share does not apply
    - `grace`: the number of complete runs in a row that do not see an offer before it is removed
    """

    share: float = 0.2
    floor: int = 20
    grace: int = 2

    def limit(self, known_offers: int, expectations: Expectations) -> int:
        """Return how many of the source's offers a run may modify or remove."""
        share = self.share if expectations.share is None else expectations.share
        floor = self.floor if expectations.floor is None else expectations.floor
        return UNLIMITED if known_offers < floor or share >= 1 else math.floor(known_offers * share)


DEFAULT_POLICY = HoldPolicy()


@dataclass(slots=True)
class RunApproval:
    """The approval state of a pending run while its items arrive.

    - `known_offers`: the number of the source's offers when the run began
    - `unchanged`: how many of them the run has seen unchanged
    - `limit`: how many of them the run may modify or remove
    - `judged_at_end`: whether the run can only be approved after its last item
    """

    run_number: int
    known_offers: int
    limit: int
    unchanged: int
    judged_at_end: bool

    @property
    def allows_updates(self) -> bool:
        """Whether the run can no longer exceed its limit, because it has seen enough unchanged offers."""
        return not self.judged_at_end and self.unchanged >= self.known_offers - self.limit

    @property
    def allows_additions(self) -> bool:
        """Whether new offers are added at once.

        They are staged if the run is judged at its end and the source already has offers.
        """
        return not self.judged_at_end or self.known_offers == 0

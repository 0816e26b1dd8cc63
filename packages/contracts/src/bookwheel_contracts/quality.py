"""What a run's items are like: how many fill each field, what is wrong with the others, and how that compares."""

from typing import Literal

from bookwheel_contracts.crawls import RunState
from bookwheel_contracts.model import Contract, Timestamp


class FieldQuality(Contract):
    """`fill_rate` is the share of valid items that have the field, `earlier` that of the earlier runs together, `fall`
    by how much it is less; null where there is nothing to compare. `fell` marks a fall that means something.
    """

    field: str
    filled: int
    fill_rate: float | None
    earlier: float | None
    fall: float | None
    fell: bool


class FaultCount(Contract):
    """`items` were quarantined because of this reason; one item may have several."""

    field: str
    code: str
    items: int


class Assertion(Contract):
    """What the source's declaration expects: at least `least` valid items, or that share of them with `field`, which no
    run has whose items were all refused."""

    kind: Literal["items", "fill"]
    field: str | None
    least: float
    actual: float | None
    holds: bool


class RunQualityReport(Contract):
    """`validity` is the share of items that the rules took. `earlier_runs` are the complete runs of the same source
    that it is compared with, newest first. `fell`: its validity or a field fell by a tenth of all items or more, or it
    went through and found no item at all where these found some.
    """

    run_id: str
    source: str
    state: RunState
    started_at: Timestamp | None
    items: int
    valid: int
    validity: float | None
    earlier_validity: float | None
    validity_fall: float | None
    fell: bool
    fields: tuple[FieldQuality, ...]
    faults: tuple[FaultCount, ...]
    assertions: tuple[Assertion, ...]
    earlier_runs: tuple[str, ...]

"""The quality of runs: filled fields, faults, and the comparison with earlier runs."""

from typing import Literal

from bookwheel_contracts.crawls import RunState
from bookwheel_contracts.model import Contract, Timestamp


class FieldQuality(Contract):
    """`fill_rate` is the share of valid items with the field, `earlier` that of the earlier runs together, `fall` the
    difference; null without earlier runs. `fell` marks a significant fall.
    """

    field: str
    filled: int
    fill_rate: float | None
    earlier: float | None
    fall: float | None
    fell: bool


class FaultCount(Contract):
    """`items` is the number of items quarantined for this reason; an item may have several reasons."""

    field: str
    code: str
    items: int


class Assertion(Contract):
    """An expectation of the source's declaration: at least `least` valid items, or that share of them with `field`.

    A run without valid items does not meet the latter.
    """

    kind: Literal["items", "fill"]
    field: str | None
    least: float
    actual: float | None
    holds: bool


class RunQualityReport(Contract):
    """`validity` is the share of valid items. `earlier_runs` are the complete runs of the source that the run is
    compared with, newest first. `fell`: its validity or a field fell by at least a tenth of all items, or it visited
    all pages and found no item.
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

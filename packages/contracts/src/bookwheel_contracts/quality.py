"""The quality of runs: filled fields, reasons of quarantine, and the comparison with earlier runs."""

from typing import Literal

from bookwheel_contracts.crawls import RunState
from bookwheel_contracts.model import Contract, Timestamp


class FieldQuality(Contract):
    """`fill_rate` is the share of valid items with the field.

    `earlier` is the share over all earlier runs, and `fall` is the difference. Both are null without earlier runs.
    `fell` marks a significant decrease.
    """

    field: str
    filled: int
    fill_rate: float | None
    earlier: float | None
    fall: float | None
    fell: bool


class FaultCount(Contract):
    """`items` is the number of items that were quarantined for this reason. An item may have several reasons."""

    field: str
    code: str
    items: int


class FieldFaultCount(Contract):
    """`faults` is the number of pages and items whose `field` could not be read for this reason.

    The items were published without the field.
    """

    field: str
    code: str
    faults: int


class Assertion(Contract):
    """Whether a run meets one expectation of its source's declaration: `holds`.

    `items`: the run has at least `least` valid items. `fill`: at least the share `least` of its valid items have
    `field`. A run without valid items does not meet `fill`. `pages`: at most the share `most` of its pages have the
    outcome `field`.
    """

    kind: Literal["items", "fill", "pages"]
    field: str | None
    least: float | None = None
    most: float | None = None
    actual: float | None
    holds: bool


class RunQualityReport(Contract):
    """`validity` is the share of valid items.

    The run is compared with `earlier_runs`: complete runs of its source, newest first. `fell`: the validity or the fill
    rate of a field decreased by at least 0.1, or the run visited all pages and scraped no item.
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
    field_faults: tuple[FieldFaultCount, ...] = ()
    assertions: tuple[Assertion, ...]
    earlier_runs: tuple[str, ...]

"""The shapes of answers about exports."""

from bookwheel_contracts.exports import Export
from bookwheel_contracts.model import Contract


class ExportList(Contract):
    items: tuple[Export, ...]
    next: str | None


class ExportOrder(Contract):
    """A version with this number or a greater one is made, unless there is one already."""

    at_least: int

"""Which changes of the feed a client wants to hear of."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bookwheel_contracts import ChangeKind
from bookwheel_contracts.problems import FieldError, InvalidParameter
from bookwheel_stores.records import FeedEntry

from bookwheel_catalog.parameters import reject, shown

MAX_VALUES = 100
_NAMES = ("kind", "source", "category", "field")


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """The values of one name widen, names narrow each other; an empty set lets everything through.

    `fields` are changed fields. Sources and categories are those of the book as the change carries it.
    """

    kinds: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()

    def matches(self, entry: FeedEntry) -> bool:
        change = entry.change
        if self.kinds and change.kind not in self.kinds:
            return False
        if self.fields and self.fields.isdisjoint(change.fields):
            return False
        if not self.sources and not self.categories:
            return True
        book: dict[str, Any] = entry.book() or {}
        if self.categories and book.get("category") not in self.categories:
            return False
        return not self.sources or any(offer["source"] in self.sources for offer in book.get("offers", ()))


def read_change_filter(filters: Iterable[str]) -> ChangeFilter:
    """From `name:value` each. Raises InvalidParameter."""
    wanted: dict[str, set[str]] = {name: set() for name in _NAMES}
    for given in filters:
        name, colon, value = given.partition(":")
        if not colon or not value:
            reject("filter", f"`{shown(given)}` is not of the form name:value")
        if name not in wanted:
            message = f"there is no `{shown(name)}` to filter changes by; there are {', '.join(_NAMES)}"
            reject("filter", message, code="unknown_field")
        wanted[name].add(value)
    unknown = wanted["kind"] - set(ChangeKind)
    if unknown:
        message = f"there is no kind `{shown(min(unknown))}`; there are {', '.join(ChangeKind)}"
        raise InvalidParameter(
            f"filter: {message}", errors=(FieldError(field="filter", code="invalid_value", message=message),)
        )
    if sum(map(len, wanted.values())) > MAX_VALUES:
        reject("filter", f"more than {MAX_VALUES} values")
    return ChangeFilter(
        kinds=frozenset(wanted["kind"]),
        sources=frozenset(wanted["source"]),
        categories=frozenset(wanted["category"]),
        fields=frozenset(wanted["field"]),
    )

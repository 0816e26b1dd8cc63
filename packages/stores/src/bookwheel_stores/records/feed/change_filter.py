"""Filters changes by kind, source, category and changed field. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bookwheel_contracts import ChangeKind

from bookwheel_stores.records.feed.entries import FeedEntry

NAMES = ("kind", "source", "category", "field")


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """A change matches if it has one value of every non-empty set.

    `fields` are changed fields. `sources` and `categories` refer to the content of the book.
    """

    kinds: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()

    @staticmethod
    def parse(filters: Iterable[str]) -> "ChangeFilter":
        """Parses filters of the form `name:value`. Raises ValueError with a message for the client."""
        values_by_name: dict[str, set[str]] = {name: set() for name in NAMES}
        for text in filters:
            name, colon, value = text.partition(":")
            if not colon or not value:
                raise ValueError(f"`{text[:60]}` is invalid: use the form name:value")
            if name not in values_by_name:
                raise ValueError(f"the filter `{name[:60]}` is invalid: use {', '.join(NAMES)}")
            values_by_name[name].add(value)
        for kind in sorted(values_by_name["kind"] - set(ChangeKind)):
            raise ValueError(f"the kind `{kind[:60]}` is invalid: use {', '.join(ChangeKind)}")
        return ChangeFilter(*(frozenset(values_by_name[name]) for name in NAMES))

    def matches(self, entry: FeedEntry) -> bool:
        change = entry.change
        if self.kinds and change.kind not in self.kinds:
            return False
        if self.fields and self.fields.isdisjoint(change.fields):
            return False
        if not self.sources and not self.categories:
            return True
        book = entry.book() or {}
        if self.categories and book.get("category") not in self.categories:
            return False
        return not self.sources or any(offer["source"] in self.sources for offer in book.get("offers", ()))

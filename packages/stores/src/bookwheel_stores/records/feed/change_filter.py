"""Which changes of the feed somebody wants to hear of. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from bookwheel_contracts import ChangeKind

from bookwheel_stores.records.feed.entries import FeedEntry

NAMES = ("kind", "source", "category", "field")


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """The values of one name widen, names narrow each other; an empty set lets everything through.

    `fields` are changed fields. Sources and categories are those of the book as the change carries it.
    """

    kinds: frozenset[str] = frozenset()
    sources: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()

    @staticmethod
    def parse(filters: Iterable[str]) -> "ChangeFilter":
        """From `name:value` each. Raises ValueError, whose text tells what is wrong."""
        wanted: dict[str, set[str]] = {name: set() for name in NAMES}
        for given in filters:
            name, colon, value = given.partition(":")
            if not colon or not value:
                raise ValueError(f"`{given[:60]}` is not of the form name:value")
            if name not in wanted:
                raise ValueError(f"there is no `{name[:60]}` to filter changes by; there are {', '.join(NAMES)}")
            wanted[name].add(value)
        for unknown in sorted(wanted["kind"] - set(ChangeKind)):
            raise ValueError(f"there is no kind `{unknown[:60]}`; there are {', '.join(ChangeKind)}")
        return ChangeFilter(*(frozenset(wanted[name]) for name in NAMES))

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

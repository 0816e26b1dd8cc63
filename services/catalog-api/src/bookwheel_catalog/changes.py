"""Pages of the change feed."""

from dataclasses import dataclass

from bookwheel_contracts.problems import InvalidCursorError
from bookwheel_stores.records import ChangeFilter, FeedEntry, FeedReader

LATEST = "latest"
_PAGE_BYTES = 4 << 20
_LOOKED_THROUGH = 10_000
"""Changes that one request looks through for those that its filter lets through."""
_STEP = 500


@dataclass(frozen=True, slots=True)
class ChangePage:
    """`next` is the sequence up to which the feed was looked through; `more` is true where it goes on behind that."""

    entries: list[FeedEntry]
    next: int
    more: bool

    def json(self) -> bytes:
        items = b",".join(entry.to_json() for entry in self.entries)
        return b'{"items":[%b],"next":"%d","more":%b}' % (items, self.next, b"true" if self.more else b"false")


def place_in(feed: FeedReader, after: str | None, *, default: str) -> int:
    """The sequence that a client names: a number, `latest`, or nothing. Raises InvalidCursor.

    One ahead of the feed is another feed's: whoever went on from there would miss changes.
    """
    head = feed.head()
    wanted = after or default
    place = head if wanted == LATEST else int(wanted)
    if place > head:
        raise InvalidCursorError(f"There is no change {place} yet: the feed ends at {head}. Was it of another catalog?")
    return place


def read_page(feed: FeedReader, chosen: ChangeFilter, *, after: int, limit: int) -> ChangePage:
    """Up to `limit` changes, fewer where they are big or few of many pass the filter."""
    head = feed.head()
    entries: list[FeedEntry] = []
    place, looked_through, size = after, 0, 0
    while place < head and looked_through < _LOOKED_THROUGH:
        found = feed.read(after=place, limit=min(_STEP, limit) if chosen == ChangeFilter() else _STEP)
        for entry in found:
            if chosen.matches(entry):
                if len(entries) == limit or (entries and size + entry.size > _PAGE_BYTES):
                    return ChangePage(entries, place, more=True)
                entries.append(entry)
                size += entry.size
            place = entry.sequence
        looked_through += len(found)
        if not found:
            break
    return ChangePage(entries, place, more=place < head)

"""Pages of the change feed."""

from dataclasses import dataclass

from bookwheel_contracts.problems import InvalidCursorError
from bookwheel_stores.records import ChangeFilter, FeedEntry, FeedReader

LATEST = "latest"
_MAX_PAGE_BYTES = 4 << 20
_MAX_SCANNED = 10_000
"""Changes that one request reads to find those that match its filter."""
_BATCH = 500


@dataclass(frozen=True, slots=True)
class ChangePage:
    """`next` is the sequence up to which the feed was read; `more` is whether the feed goes on after it."""

    entries: list[FeedEntry]
    next: int
    more: bool

    def to_json(self) -> bytes:
        items = b",".join(entry.to_json() for entry in self.entries)
        return b'{"items":[%b],"next":"%d","more":%b}' % (items, self.next, b"true" if self.more else b"false")


def parse_position(feed: FeedReader, after: str | None, *, default: str) -> int:
    """Returns a sequence from a number or `latest`. Raises InvalidCursorError for a sequence ahead of the feed.

    Such a sequence is another feed's: a client that continued from it would miss changes.
    """
    head = feed.head()
    text = after or default
    position = head if text == LATEST else int(text)
    if position > head:
        detail = f"`after` is invalid: the feed ends at {head}. Take it from this catalog, not from another."
        raise InvalidCursorError(detail)
    return position


def read_page(feed: FeedReader, change_filter: ChangeFilter, *, after: int, limit: int) -> ChangePage:
    """Up to `limit` changes. Fewer if the changes are big, or if few of many match the filter."""
    head = feed.head()
    entries: list[FeedEntry] = []
    position, scanned, size = after, 0, 0
    batch_limit = min(_BATCH, limit) if change_filter == ChangeFilter() else _BATCH
    while position < head and scanned < _MAX_SCANNED:
        batch = feed.read(after=position, limit=batch_limit)
        for entry in batch:
            if change_filter.matches(entry):
                if len(entries) == limit or (entries and size + entry.size > _MAX_PAGE_BYTES):
                    return ChangePage(entries, position, more=True)
                entries.append(entry)
                size += entry.size
            position = entry.sequence
        scanned += len(batch)
        if not batch:
            break
    return ChangePage(entries, position, more=position < head)

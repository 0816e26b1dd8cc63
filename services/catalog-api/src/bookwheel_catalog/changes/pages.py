"""Reads pages of the change feed."""

from dataclasses import dataclass

from bookwheel_contracts.problems import InvalidCursorError
from bookwheel_stores.records import ChangeFilter, FeedEntry, FeedReader

LATEST = "latest"
_MAX_PAGE_BYTES = 4 << 20
_MAX_SCANNED_CHANGES = 10_000
"""The most changes that one request reads to find matching changes."""
_BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class ChangePage:
    """`next` is the last sequence that was read; `more` is true if the feed has later changes."""

    entries: list[FeedEntry]
    next: int
    more: bool

    def to_json(self) -> bytes:
        items = b",".join(entry.to_json() for entry in self.entries)
        return b'{"items":[%b],"next":"%d","more":%b}' % (items, self.next, b"true" if self.more else b"false")


def parse_position(feed: FeedReader, after: str | None, *, default: str) -> int:
    """Parses a sequence or `latest`. Raises InvalidCursorError for a sequence after the end of the feed.

    Such a sequence belongs to another feed: a client that continued from it would miss changes.
    """
    latest_sequence = feed.head()
    text = after or default
    position = latest_sequence if text == LATEST else int(text)
    if position > latest_sequence:
        detail = (
            f"`after` is invalid: the latest sequence is {latest_sequence}. Use a sequence from this catalog's feed."
        )
        raise InvalidCursorError(detail)
    return position


def read_page(feed: FeedReader, change_filter: ChangeFilter, *, after: int, limit: int) -> ChangePage:
    """Returns up to `limit` matching changes: fewer if the changes are large or if few of the scanned changes match."""
    latest_sequence = feed.head()
    entries: list[FeedEntry] = []
    position, scanned_count, size = after, 0, 0
    batch_limit = min(_BATCH_SIZE, limit) if change_filter == ChangeFilter() else _BATCH_SIZE
    while position < latest_sequence and scanned_count < _MAX_SCANNED_CHANGES:
        batch = feed.read(after=position, limit=batch_limit)
        for entry in batch:
            if change_filter.matches(entry):
                if len(entries) == limit or (entries and size + entry.size > _MAX_PAGE_BYTES):
                    return ChangePage(entries, position, more=True)
                entries.append(entry)
                size += entry.size
            position = entry.sequence
        scanned_count += len(batch)
        if not batch:
            break
    return ChangePage(entries, position, more=position < latest_sequence)

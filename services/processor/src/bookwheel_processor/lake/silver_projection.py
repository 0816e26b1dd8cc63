"""Applies the change feed to the lake's silver tables."""

import time
from dataclasses import dataclass, field

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.lake.silver import BUCKET_SIZE, Silver, SilverSnapshot
from bookwheel_stores.records import ChangeFeed
from bookwheel_stores.records.feed.snapshots import Snapshot, SnapshotReader

OBSERVATIONS, BOOKS = "lake", "lake-books"
"""The names of the two projections in the records."""
logger = get_logger(__name__)


@dataclass(slots=True)
class SilverProjection:
    """Stores its cursors in the tables, in the commit of the rows. The records have copies for the suite's status."""

    feed: ChangeFeed
    snapshots: SnapshotReader
    tables: Silver
    _refreshed_at: float = field(default=0.0)

    def append_observations(self) -> int:
        """Append the observations up to the feed's head; return the number of changes. Raises LakeError."""
        head = self.snapshots.head()
        first = cursor = self._valid_cursor(self.tables.observations.load(), head)
        while cursor < head:
            end = min(head, cursor + BUCKET_SIZE)
            self.tables.append_observations(self.snapshots.change_pages(after=cursor, up_to=end), cursor=end)
            cursor = end
            self.feed.advance({OBSERVATIONS: cursor})
        return cursor - first

    def seconds_since_refresh(self) -> float:
        return time.monotonic() - self._refreshed_at

    def refresh_books(self) -> SilverSnapshot:
        """Replace the rows of changed books; return a snapshot as of the feed's head. Raises LakeError."""
        head = self.snapshots.head()
        cursor = self._valid_cursor(self.tables.load_books(), head)
        if cursor < head:
            buckets = self.snapshots.changed_buckets(after=cursor, up_to=head, bucket_size=BUCKET_SIZE)
            for bucket in buckets:
                first, last = bucket * BUCKET_SIZE, (bucket + 1) * BUCKET_SIZE
                pages = self.snapshots.book_pages(Snapshot(sequence=head), after_number=first, up_to=last)
                # Only the last commit moves the cursor. If the process is killed, all buckets are written again.
                self.tables.write_books(bucket, pages, cursor=head if bucket == buckets[-1] else cursor)
            self.feed.advance({BOOKS: head})
        self._refreshed_at = time.monotonic()
        return self.tables.snapshot()

    def restart(self) -> None:
        """Delete the tables while no other process uses them. They are then written again from the first change."""
        self.tables.delete()
        for projection in (OBSERVATIONS, BOOKS):
            self.feed.reset(projection)

    def _valid_cursor(self, cursor: int, head: int) -> int:
        """Return the cursor. If it is after the head, the tables belong to other records: delete them and return 0."""
        if cursor <= head:
            return cursor
        logger.warning("lake is ahead of the change feed", cursor=cursor, head=head)
        self.restart()
        self.tables.observations.load()
        self.tables.load_books()
        return 0

"""Applies the change feed to the lake's silver tables."""

import time
from dataclasses import dataclass, field

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.lake.silver import BUCKET, Silver, SilverSnapshot
from bookwheel_stores.records import ChangeFeed
from bookwheel_stores.records.feed.snapshots import Snapshot, SnapshotReader

OBSERVATIONS, BOOKS = "lake", "lake-books"
"""The names of the two projections in the records."""
logger = get_logger(__name__)


@dataclass(slots=True)
class SilverProjection:
    """Its cursors are in the tables, committed with their rows. The records hold copies for the status."""

    feed: ChangeFeed
    states: SnapshotReader
    silver: Silver
    _refreshed: float = field(default=0.0)

    def observe(self) -> int:
        """Appends the observations up to the feed's head; returns the number of changes. Raises LakeError."""
        head = self.states.head()
        started_at = cursor = self._checked(self.silver.observations.load(), head)
        while cursor < head:
            end = min(head, cursor + BUCKET)
            self.silver.append_observations(self.states.change_pages(after=cursor, up_to=end), cursor=end)
            cursor = end
            self.feed.advance({OBSERVATIONS: cursor})
        return cursor - started_at

    def seconds_since_refresh(self) -> float:
        return time.monotonic() - self._refreshed

    def refresh_books(self) -> SilverSnapshot:
        """Replaces the rows of changed books; returns the tables as of the feed's head. Raises LakeError."""
        head = self.states.head()
        cursor = self._checked(self.silver.load_books(), head)
        if cursor < head:
            buckets = self.states.changed_buckets(after=cursor, up_to=head, bucket=BUCKET)
            for bucket in buckets:
                first, last = bucket * BUCKET, (bucket + 1) * BUCKET
                pages = self.states.book_pages(Snapshot(sequence=head), after_number=first, up_to=last)
                # Only the last commit moves the cursor: after a kill, all buckets are written again.
                self.silver.write_books(bucket, pages, cursor=head if bucket == buckets[-1] else cursor)
            self.feed.advance({BOOKS: head})
        self._refreshed = time.monotonic()
        return self.silver.snapshot()

    def restart(self) -> None:
        """Removes the tables, to be written again from the first change. Nothing else may use them."""
        self.silver.delete()
        for projection in (OBSERVATIONS, BOOKS):
            self.feed.reset(projection)

    def _checked(self, cursor: int, head: int) -> int:
        """The cursor, 0 if the tables hold changes that the feed does not have: then they are of other records."""
        if cursor <= head:
            return cursor
        logger.warning("lake is ahead of the change feed", cursor=cursor, head=head)
        self.restart()
        self.silver.observations.load()
        self.silver.load_books()
        return 0

"""Carries the change feed into the lake's silver."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.lake import Compaction, LakeError, Silver
from bookwheel_stores.lake.silver import BUCKET
from bookwheel_stores.records import ChangeFeed
from bookwheel_stores.records.feed.snapshots import Snapshot, SnapshotReader

OBSERVATIONS, BOOKS = "lake", "lake-books"
"""The projections of observations and of current books."""
_log = get_logger(__name__)


class CursorMovedError(LakeError):
    def __init__(self) -> None:
        super().__init__("another wrote to the lake's current books at the same time")


@dataclass(slots=True)
class SilverProjection:
    """The feed's reader that fills silver. Files are written first and the cursor is moved after them, so whoever dies
    in between has them written once more. Who finds that the cursor is not where it was had another at work beside it,
    whose newer files it may have replaced: it puts the cursor back, for the next round to write them again.
    """

    feed: ChangeFeed
    states: SnapshotReader
    silver: Silver
    _refreshed: float = field(default=0.0)

    def observe(self) -> int:
        """Brings the observations up to the feed's head; returns the number of changes."""
        began = cursor = self.feed.cursor(OBSERVATIONS)
        head = self.states.head()
        while cursor < head:
            bucket = cursor // BUCKET
            end = min(head, (bucket + 1) * BUCKET)
            changes = self.states.change_pages(after=bucket * BUCKET, up_to=end)
            self.silver.write_observations(bucket, changes, up_to=end)
            if not self._move(OBSERVATIONS, cursor, end):
                break
            cursor = end
        return cursor - began

    def seconds_since_refresh(self) -> float:
        return time.monotonic() - self._refreshed

    def refresh_books(self) -> int:
        """Brings the current books up to the feed's head; returns the sequence they are as of. Raises Overtaken."""
        cursor, head = self.feed.cursor(BOOKS), self.states.head()
        if cursor < head:
            for bucket in self.states.changed_buckets(after=cursor, up_to=head, bucket=BUCKET):
                first, last = bucket * BUCKET, (bucket + 1) * BUCKET
                pages = self.states.book_pages(Snapshot(sequence=head), after_number=first, up_to=last)
                self.silver.write_books(bucket, pages)
            if not self._move(BOOKS, cursor, head):
                raise CursorMovedError
            cursor = head
        self._refreshed = time.monotonic()
        return cursor

    def verify_books(self, sequence: int) -> None:
        """Raises Overtaken where the current books may not be as of that sequence any more."""
        if self.feed.cursor(BOOKS) != sequence:
            raise CursorMovedError

    def compact(self) -> int:
        """What another, overtaken, has put older files in place of is written again by the next round."""
        compaction, cursor = Compaction(self.silver.lake), self.feed.cursor(OBSERVATIONS)
        back = partial(self.feed.rewind, OBSERVATIONS)
        return compaction.run(up_to=cursor, now=datetime.now(UTC), write_again=back)

    def _move(self, projection: str, expected: int, to: int) -> bool:
        if self.feed.try_advance(projection, expected=expected, to=to):
            return True
        _log.warning("another wrote to the lake at the same time: it is written again", projection=projection)
        self.feed.rewind(projection, expected)
        return False

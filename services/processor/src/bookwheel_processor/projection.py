"""Carries the change feed into the search index."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import SEARCH_PROJECTION, BookReader, ChangeFeed
from bookwheel_stores.search import IndexWriter

_GATHER_SECONDS = 1.0
_POLL_SECONDS = 0.03
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Projection:
    """The feed's reader that fills the index. `batch` changes, or books, go into one commit of the index."""

    feed: ChangeFeed
    books: BookReader
    generation: Generation
    batch: int

    def is_behind(self) -> bool:
        return self.feed.cursor(SEARCH_PROJECTION) < self.feed.head()

    def catch_up(self, index: IndexWriter, *, more_is_coming: Callable[[], bool] = lambda: False) -> int:
        """Projects until the feed's end; returns how many changes that were."""
        total = 0
        while step := self.step(index, more_is_coming=more_is_coming):
            total += step
        return total

    def step(self, index: IndexWriter, *, more_is_coming: Callable[[], bool] = lambda: False) -> int:
        """Projects one batch of changes in one commit, and returns its size, 0 at the feed's end.

        While more is coming it waits, for a second at most, until the batch is full, and prepares what is there: a
        commit for each batch of the ingest costs half as much again, and leaves segments that are merged over and over.

        The index, the generation and the cursor follow one another in this order: whoever dies in between leaves a
        batch that is repeated, never a change that is missed nor an old answer that is taken for a new one.
        """
        deadline = time.monotonic() + _GATHER_SECONDS
        reached, changes = self.feed.cursor(SEARCH_PROJECTION), 0
        while True:
            goes_on = time.monotonic() < deadline and more_is_coming()  # before the feed is read: what came is in it
            changed = self.feed.changed_books(after=reached, limit=self.batch - changes)
            index.apply(changed.books, commit=False)
            reached, changes = changed.last, changes + changed.changes
            if not changes:
                return 0
            if not goes_on or changes == self.batch:
                break
            time.sleep(_POLL_SECONDS)
        index.apply([])
        self.generation.advance()
        self.feed.advance(SEARCH_PROJECTION, reached)
        return changes

    def rebuild(self, index: IndexWriter) -> int:
        """Fills the index anew from the records; returns the number of books.

        The feed's end is noted first: what changes during the rebuild is projected once more after it.
        """
        head = self.feed.head()
        index.clear()
        number = total = 0
        while page := self.feed.living_books(after_number=number, limit=self.batch):
            index.apply(page)
            number, total = page[-1].number, total + len(page)
        self.generation.advance()
        self.feed.advance(SEARCH_PROJECTION, head)
        return total

    def repair(self, index: IndexWriter) -> bool:
        """Rebuilds an index that holds another number of books than the records; whether that was needed."""
        self.catch_up(index)
        expected, found = self.books.count(), index.count()
        if expected == found or self.is_behind():
            return False
        _log.warning("the index differs from the records", books=expected, indexed=found)
        self.rebuild(index)
        return True

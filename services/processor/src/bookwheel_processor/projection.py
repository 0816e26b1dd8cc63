"""Carries the change feed into the search index."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import SEARCH_PROJECTION, BookReader, ChangeFeed
from bookwheel_stores.search import IndexWriter

_GATHER_SECONDS = 1.0
_POLL_SECONDS = 0.02
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
        """Projects until the feed's end; returns how many changes that were.

        While more is coming it waits, for a second at most, until a batch is full: a commit for each batch of the
        ingest costs half as much again, and leaves segments that are merged over and over.
        """
        total = 0
        while True:
            self._gather(more_is_coming)
            step = self.step(index)
            if not step:
                return total
            total += step

    def _gather(self, more_is_coming: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _GATHER_SECONDS
        cursor = self.feed.cursor(SEARCH_PROJECTION)
        while 0 < self.feed.head() - cursor < self.batch and more_is_coming() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def step(self, index: IndexWriter) -> int:
        """Projects one batch of changes and returns its size, 0 at the feed's end.

        The index, the generation and the cursor follow one another in this order: whoever dies in between leaves a
        batch that is repeated, never a change that is missed nor an old answer that is taken for a new one.
        """
        changed = self.feed.changed_books(after=self.feed.cursor(SEARCH_PROJECTION), limit=self.batch)
        if not changed.changes:
            return 0
        index.apply(changed.books)
        self.generation.advance()
        self.feed.advance(SEARCH_PROJECTION, changed.last)
        return changed.changes

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

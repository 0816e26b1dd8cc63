"""Projects the change feed into the search index."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import BookState
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import SEARCH_PROJECTION, ChangeFeed, RejectedBooks
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.search import IndexBuild, IndexBusyError, IndexWriter, RejectedBook, SearchError, WritableIndex

from bookwheel_processor.search_index.comparison import IndexComparer

GENERATION = "generation"
"""The index generation is stored in the records under this cursor name, because Redis can lose it."""
_BATCH_SECONDS = 1.0
_POLL_SECONDS = 0.03
_LOCK_SECONDS = 120.0
logger = get_logger(__name__)


class IndexMismatchError(SearchError):
    """A new index differs from the records, so it does not replace the current one."""


@dataclass(frozen=True, slots=True)
class Projection:
    """`batch_size` is the maximum number of changes or books in one commit of the index."""

    feed: ChangeFeed
    rejected_books: RejectedBooks
    generation: Generation
    batch_size: int

    def is_behind(self) -> bool:
        return self.feed.cursor(SEARCH_PROJECTION) < self.feed.head()

    def catch_up(self, index: IndexWriter, *, more_expected: Callable[[], bool] = lambda: False) -> int:
        """Project until the feed's end; return the number of changes."""
        total = 0
        while change_count := self.step(index, more_expected=more_expected):
            total += change_count
        return total

    def step(self, index: IndexWriter, *, more_expected: Callable[[], bool] = lambda: False) -> int:
        """Project one batch of changes in one commit; return its size, 0 at the feed's end.

        While `more_expected` returns true, the step waits for up to a second to fill the batch. One commit per ingest
        batch takes 50 % more time and creates small segments that must be merged.

        The index is written first, then the rejected books, then the generation and the cursor. If the process is
        killed between these writes, the batch is repeated; no change is lost and no cached response is outdated.
        """
        deadline = time.monotonic() + _BATCH_SECONDS
        cursor, change_count = self.feed.cursor(SEARCH_PROJECTION), 0
        revisions: dict[int, int] = {}
        rejected: list[RejectedBook] = []
        while True:
            # `more_expected` is called before the feed is read, so that the last read includes every change.
            should_continue = time.monotonic() < deadline and more_expected()
            page = self.feed.changed_books(after=cursor, limit=self.batch_size - change_count)
            rejected += self.apply_books(index, page.books, commit=False)
            revisions |= _revisions(page.books)
            cursor, change_count = page.last, change_count + page.changes
            if not change_count:
                return 0
            if not should_continue or change_count == self.batch_size:
                break
            time.sleep(_POLL_SECONDS)
        index.apply([], commit=True)
        self._update_rejected_books(revisions, rejected)
        self.feed.advance({GENERATION: self._next_generation(), SEARCH_PROJECTION: cursor})
        return change_count

    def invalidate_cache(self) -> None:
        """Invalidate cached responses."""
        self.feed.advance({GENERATION: self._next_generation()})

    def restore_generation(self) -> None:
        """Advance the generation if Redis has lost it. Otherwise outdated responses could count as current."""
        if self.generation.current() < self.feed.cursor(GENERATION):
            self.invalidate_cache()

    def apply_books(
        self, index: WritableIndex, books: Sequence[BookState], *, commit: bool = True
    ) -> list[RejectedBook]:
        """Apply books in batches; log and return those that the index permanently rejects."""
        rejected: list[RejectedBook] = []
        for start in range(0, len(books), self.batch_size):
            rejected += index.apply(books[start : start + self.batch_size], commit=commit)
        for rejected_book in rejected:
            logger.error("book rejected by index", book_id=rejected_book.book.book_id, reason=rejected_book.reason)
        return rejected

    def repair(self, index: WritableIndex, books: Sequence[BookState]) -> list[RejectedBook]:
        """Apply books; quarantine and return those that the index permanently rejects."""
        rejected = self.apply_books(index, books)
        self._update_rejected_books(_revisions(books), rejected)
        return rejected

    def rebuild(self, build: IndexBuild, *, on_progress: Callable[[], None] = lambda: None) -> int:
        """Fill a new index from the records, then replace the current one; return the number of books.

        `on_progress` is called at least after each batch. Raises IndexMismatchError if the new index differs from the
        records, and IndexBusyError if the current index stays locked. In both cases the current index is kept.
        """
        head = self.feed.head()
        rejected: dict[int, RejectedBook] = {}
        number = 0
        while page := self.feed.list_books(after_number=number, limit=self.batch_size):
            self._fill(build, page, rejected)
            number = page[-1].number
            on_progress()
        cursor = self._apply_new_changes(build, head, rejected, on_progress)
        difference = IndexComparer(self.feed).compare(build, up_to=cursor)
        if mismatched := set(difference.differing) - rejected.keys():
            raise IndexMismatchError(
                f"the new index differs from the records in {len(mismatched)} books, such as {min(mismatched)}"
            )
        self._lock(build, on_progress)
        cursor = self._apply_new_changes(build, cursor, rejected, on_progress)
        build.publish()
        # Until now, other processes projected their changes only to the old index.
        self._apply_new_changes(build, cursor, rejected, on_progress)
        self.rejected_books.update(
            list(rejected.values()),
            now=to_millis(utc_now()),
            is_resolved=lambda book: book.number not in rejected or book.revision < rejected[book.number].book.revision,
        )
        # The projection starts at `head` again. Repeated changes do no harm.
        self.feed.advance({GENERATION: self._next_generation(), SEARCH_PROJECTION: head})
        return difference.books

    def _next_generation(self) -> int:
        return self.generation.advance(beyond=self.feed.cursor(GENERATION))

    def _update_rejected_books(self, revisions: Mapping[int, int], rejected: Sequence[RejectedBook]) -> None:
        """Update the quarantine. `revisions` has the last applied revision of each book, by number."""
        self.rejected_books.update(
            [rejection for rejection in rejected if rejection.book.revision == revisions[rejection.book.number]],
            now=to_millis(utc_now()),
            is_resolved=lambda book: revisions.get(book.number, -1) >= book.revision,
        )

    def _apply_new_changes(
        self, build: IndexBuild, after: int, rejected: dict[int, RejectedBook], on_progress: Callable[[], None]
    ) -> int:
        """Apply the changes after `after` to the new index; return the sequence of the last one."""
        while True:
            page = self.feed.changed_books(after=after, limit=self.batch_size)
            if not page.changes:
                return after
            self._fill(build, page.books, rejected)
            after = page.last
            on_progress()

    def _fill(self, build: IndexBuild, books: Sequence[BookState], rejected: dict[int, RejectedBook]) -> None:
        """Apply books to the new index. Update `rejected`: the books with a rejected last revision, by number."""
        rejections = self.apply_books(build, books)
        for book in books:
            rejected.pop(book.number, None)
        rejected |= {rejection.book.number: rejection for rejection in rejections}

    def _lock(self, build: IndexBuild, on_progress: Callable[[], None]) -> None:
        """Lock the current index. Retry while a projection holds it."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                build.lock()
                return
            except IndexBusyError:
                if time.monotonic() > deadline:
                    raise
            on_progress()
            time.sleep(_POLL_SECONDS)


def _revisions(books: Sequence[BookState]) -> dict[int, int]:
    return {book.number: book.revision for book in books}

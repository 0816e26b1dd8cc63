"""Projects the change feed into the search index."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import BookState
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import SEARCH_PROJECTION, ChangeFeed, IndexRefusals
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.search import IndexBuild, IndexBusyError, IndexContents, IndexWriter, RejectedBook, SearchError

from bookwheel_processor.search_index.comparison import IndexComparer

GENERATION = "generation"
"""The cursor by which the records keep the index generation: Redis may lose it."""
_BATCH_SECONDS = 1.0
_POLL_SECONDS = 0.03
_LOCK_SECONDS = 120.0
logger = get_logger(__name__)


class IndexMismatchError(SearchError):
    """A new index differs from the records: it does not replace the current one."""


@dataclass(frozen=True, slots=True)
class Projection:
    """`batch`: how many changes or books go into one commit of the index."""

    feed: ChangeFeed
    refusals: IndexRefusals
    generation: Generation
    batch: int

    def is_behind(self) -> bool:
        return self.feed.cursor(SEARCH_PROJECTION) < self.feed.head()

    def catch_up(self, index: IndexWriter, *, more_expected: Callable[[], bool] = lambda: False) -> int:
        """Project until the feed's end; return the number of changes."""
        total = 0
        while changes := self.step(index, more_expected=more_expected):
            total += changes
        return total

    def step(self, index: IndexWriter, *, more_expected: Callable[[], bool] = lambda: False) -> int:
        """Project one batch of changes in one commit; return its size, 0 at the feed's end.

        While more changes are expected it waits up to a second for a full batch: one commit per ingest batch costs half
        as much again, and leaves small segments to merge.

        Writes the index first, then the refusals, and last the generation and the cursor. So a process that dies in
        between leaves a batch to repeat, but no missed change, lost refusal or outdated cache.
        """
        deadline = time.monotonic() + _BATCH_SECONDS
        cursor, changes = self.feed.cursor(SEARCH_PROJECTION), 0
        revisions: dict[int, int] = {}
        rejected: list[RejectedBook] = []
        while True:
            # Asked before the feed is read, so that the last read has every change.
            continues = time.monotonic() < deadline and more_expected()
            changed = self.feed.changed_books(after=cursor, limit=self.batch - changes)
            rejected += self.put(index, changed.books, commit=False)
            revisions |= _revisions(changed.books)
            cursor, changes = changed.last, changes + changed.changes
            if not changes:
                return 0
            if not continues or changes == self.batch:
                break
            time.sleep(_POLL_SECONDS)
        index.apply([])
        self._update_refusals(revisions, rejected)
        self.feed.advance({GENERATION: self._next_generation(), SEARCH_PROJECTION: cursor})
        return changes

    def invalidate_cache(self) -> None:
        """Make cached responses of the index outdated."""
        self.feed.advance({GENERATION: self._next_generation()})

    def restore_generation(self) -> None:
        """Advance the generation where Redis has lost it: older responses could count as current."""
        if self.generation.current() < self.feed.cursor(GENERATION):
            self.invalidate_cache()

    def put(self, index: IndexContents, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Apply books in batches; log and return those that the index refuses for good."""
        rejected: list[RejectedBook] = []
        for start in range(0, len(books), self.batch):
            rejected += index.apply(books[start : start + self.batch], commit=commit)
        for refusal in rejected:
            logger.error("book refused by index", book_id=refusal.book.book_id, reason=refusal.reason)
        return rejected

    def repair(self, index: IndexContents, books: Sequence[BookState]) -> list[RejectedBook]:
        """Apply books; quarantine and return those that the index refuses for good."""
        rejected = self.put(index, books)
        self._update_refusals(_revisions(books), rejected)
        return rejected

    def rebuild(self, build: IndexBuild, *, progress: Callable[[int], None] = lambda _: None) -> int:
        """Fill a new index from the records, then replace the current one; return the number of books.

        `progress` is called at least after each batch, with the number of the last book or 0. Raises IndexMismatchError
        where the new index differs from the records, and IndexBusyError where the current one stays locked. The current
        one stays then.
        """
        head = self.feed.head()
        rejected: dict[int, RejectedBook] = {}
        number = 0
        while page := self.feed.list_books(after_number=number, limit=self.batch):
            self._fill(build, page, rejected)
            number = page[-1].number
            progress(number)
        cursor = self._follow(build, head, rejected, progress)
        difference = IndexComparer(self.feed).compare(build, up_to=cursor)
        if mismatched := set(difference.differing) - rejected.keys():
            raise IndexMismatchError(
                f"the new index differs from the records in {len(mismatched)} books, such as {min(mismatched)}"
            )
        self._lock(build, progress)
        cursor = self._follow(build, cursor, rejected, progress)
        build.publish()
        # Changes that others projected to the old index meanwhile are in the feed.
        self._follow(build, cursor, rejected, progress)
        self.refusals.update(
            list(rejected.values()),
            now=to_millis(utc_now()),
            is_resolved=lambda book: book.number not in rejected or book.revision < rejected[book.number].book.revision,
        )
        self.feed.advance({GENERATION: self._next_generation(), SEARCH_PROJECTION: head})
        return difference.books

    def _next_generation(self) -> int:
        return self.generation.advance(beyond=self.feed.cursor(GENERATION))

    def _update_refusals(self, revisions: Mapping[int, int], rejected: Sequence[RejectedBook]) -> None:
        """`revisions`: the last applied revision of each book, by number."""
        self.refusals.update(
            [refusal for refusal in rejected if refusal.book.revision == revisions[refusal.book.number]],
            now=to_millis(utc_now()),
            is_resolved=lambda book: revisions.get(book.number, -1) >= book.revision,
        )

    def _follow(
        self, build: IndexBuild, after: int, rejected: dict[int, RejectedBook], progress: Callable[[int], None]
    ) -> int:
        """Project changes into the new index until the feed's end; return its last sequence."""
        while True:
            changed = self.feed.changed_books(after=after, limit=self.batch)
            if not changed.changes:
                return after
            self._fill(build, changed.books, rejected)
            after = changed.last
            progress(0)

    def _fill(self, build: IndexBuild, books: Sequence[BookState], rejected: dict[int, RejectedBook]) -> None:
        """`rejected`, by number, gets the books whose last revision the build refuses."""
        refusals = self.put(build, books)
        for book in books:
            rejected.pop(book.number, None)
        rejected |= {refusal.book.number: refusal for refusal in refusals}

    def _lock(self, build: IndexBuild, progress: Callable[[int], None]) -> None:
        """Lock the current index, which a projection may hold for a while."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                build.lock()
                return
            except IndexBusyError:
                if time.monotonic() > deadline:
                    raise
            progress(0)
            time.sleep(_POLL_SECONDS)


def _revisions(books: Sequence[BookState]) -> dict[int, int]:
    return {book.number: book.revision for book in books}

"""Carries the change feed into the search index."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bookwheel_contracts import BookState
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.cache import Generation
from bookwheel_stores.records import SEARCH_PROJECTION, ChangeFeed, IndexRefusals
from bookwheel_stores.records.values import to_millis, utc_now
from bookwheel_stores.search import IndexBuild, IndexBusyError, IndexContents, IndexWriter, RejectedBook, SearchError

from bookwheel_processor.search_index.comparison import IndexComparer

GENERATION = "generation"
"""Under this name the records remember the index's generation, as a cursor: Redis may lose it."""
_GATHER_SECONDS = 1.0
_POLL_SECONDS = 0.03
_HOLD_SECONDS = 120.0
logger = get_logger(__name__)


class IndexMismatchError(SearchError):
    """A new index does not hold what it should: it is not put in the old one's place."""


@dataclass(frozen=True, slots=True)
class Projection:
    """The feed's reader that fills the index. `batch` changes, or books, go into one commit of the index."""

    feed: ChangeFeed
    refusals: IndexRefusals
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

        The index, the account of what it refused, the generation and the cursor follow one another in this order:
        whoever dies in between leaves a batch that is repeated, never a change that is missed, a refusal that nobody
        knows of, nor an old answer that is taken for a new one.
        """
        deadline = time.monotonic() + _GATHER_SECONDS
        reached, changes = self.feed.cursor(SEARCH_PROJECTION), 0
        revisions: dict[int, int] = {}
        refused: list[RejectedBook] = []
        while True:
            goes_on = time.monotonic() < deadline and more_is_coming()  # before the feed is read: what came is in it
            changed = self.feed.changed_books(after=reached, limit=self.batch - changes)
            refused += self.put(index, changed.books, commit=False)
            revisions |= _revisions(changed.books)
            reached, changes = changed.last, changes + changed.changes
            if not changes:
                return 0
            if not goes_on or changes == self.batch:
                break
            time.sleep(_POLL_SECONDS)
        index.apply([])
        self._account(revisions, refused)
        self.feed.advance({GENERATION: self._next_generation(), SEARCH_PROJECTION: reached})
        return changes

    def void_answers(self) -> None:
        """What is cached of the index is not taken for current any more."""
        self.feed.advance({GENERATION: self._next_generation()})

    def void_forgotten(self) -> None:
        """Voids the cached answers where Redis has lost the current generation, and may call older ones current."""
        if self.generation.current() < self.feed.cursor(GENERATION):
            self.void_answers()

    def _next_generation(self) -> int:
        return self.generation.advance(beyond=self.feed.cursor(GENERATION))

    def put(self, index: IndexContents, books: Sequence[BookState], *, commit: bool = True) -> list[RejectedBook]:
        """Applies books in batches; what the index can never take is logged, and returned."""
        rejected: list[RejectedBook] = []
        for start in range(0, len(books), self.batch):
            rejected += index.apply(books[start : start + self.batch], commit=commit)
        for each in rejected:
            logger.error("a book can't be indexed", book_id=each.book.book_id, reason=each.reason)
        return rejected

    def repair(self, index: IndexContents, books: Sequence[BookState]) -> list[RejectedBook]:
        """Applies books; what the index can never take is in quarantine, and returned."""
        rejected = self.put(index, books)
        self._account(_revisions(books), rejected)
        return rejected

    def _account(self, revisions: Mapping[int, int], refused: Iterable[RejectedBook]) -> None:
        """`revisions` are those at which books were applied last, by number."""
        self.refusals.update(
            [each for each in refused if each.book.revision == revisions[each.book.number]],
            now=to_millis(utc_now()),
            is_resolved=lambda one: revisions.get(one.number, -1) >= one.revision,
        )

    def rebuild(self, build: IndexBuild, *, progress: Callable[[int], None] = lambda _: None) -> int:
        """Fills a new index from the records while the old one serves, and swaps them; returns the number of books.

        `progress` is told of the books so far, at least after each batch. Raises IndexDiffers when the new index does
        not hold what the records do, and IndexBusy when the old one can't be had: then the old one stays.
        """
        start = self.feed.head()
        rejected: dict[int, RejectedBook] = {}
        number = 0
        while page := self.feed.list_books(after_number=number, limit=self.batch):
            self._fill(build, page, rejected)
            number = page[-1].number
            progress(number)
        reached = self._follow(build, start, rejected, progress)
        found = IndexComparer(self.feed).compare(build, up_to=reached)
        if wrong := set(found.differing) - rejected.keys():
            raise IndexMismatchError(
                f"the new index differs from the records in {len(wrong)} books, such as {min(wrong)}"
            )
        self._hold(build, progress)
        reached = self._follow(build, reached, rejected, progress)
        build.publish()
        # What others wrote to the old index in the meantime is in the feed, which has it in its order of commit.
        self._follow(build, reached, rejected, progress)
        self.refusals.update(
            list(rejected.values()),
            now=to_millis(utc_now()),
            is_resolved=lambda one: one.number not in rejected or one.revision < rejected[one.number].book.revision,
        )
        self.feed.advance({GENERATION: self._next_generation(), SEARCH_PROJECTION: start})
        return found.books

    def _follow(
        self, build: IndexBuild, after: int, rejected: dict[int, RejectedBook], progress: Callable[[int], None]
    ) -> int:
        """Projects changes into the new index until the feed's end; returns its last sequence."""
        while True:
            changed = self.feed.changed_books(after=after, limit=self.batch)
            if not changed.changes:
                return after
            self._fill(build, changed.books, rejected)
            after = changed.last
            progress(0)

    def _fill(self, build: IndexBuild, books: Sequence[BookState], rejected: dict[int, RejectedBook]) -> None:
        """`rejected`, by number, are those that the build can't take as they were last."""
        refused = self.put(build, books)
        for book in books:
            rejected.pop(book.number, None)
        rejected |= {each.book.number: each for each in refused}

    def _hold(self, build: IndexBuild, progress: Callable[[int], None]) -> None:
        deadline = time.monotonic() + _HOLD_SECONDS
        while True:
            try:
                build.hold()
                return
            except IndexBusyError:
                if time.monotonic() > deadline:
                    raise
            progress(0)
            time.sleep(_POLL_SECONDS)


def _revisions(books: Sequence[BookState]) -> dict[int, int]:
    return {book.number: book.revision for book in books}

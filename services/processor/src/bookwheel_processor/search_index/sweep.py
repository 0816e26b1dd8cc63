"""Compares the search index with the records, repairs the differences and reports them."""

from collections.abc import Iterable
from datetime import datetime

from bookwheel_contracts.status import IndexComparison
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.index_report import save_comparison
from bookwheel_stores.records import SEARCH_PROJECTION
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.search import IndexWriter
from redis import Redis

from bookwheel_processor.search_index.comparison import IndexComparer
from bookwheel_processor.search_index.projection import Projection

_MAX_REPAIRS = 20_000
logger = get_logger(__name__)


class IndexSweep:
    def __init__(self, projection: Projection, redis: Redis) -> None:
        self._projection = projection
        self._comparer = IndexComparer(projection.feed)
        self._redis = redis

    def run(self, index: IndexWriter, *, now: datetime) -> IndexComparison:
        """Compare and repair. `rebuild` in the result is true if there are too many differences or repairs fail."""
        projection = self._projection
        projection.catch_up(index)
        up_to = projection.feed.cursor(SEARCH_PROJECTION)
        difference = self._comparer.compare(index, up_to=up_to)
        repaired = rejected = 0
        remaining = set(difference.differing)
        already_rejected = {book.number for book in projection.rejected_books.list_open()}
        # Rejected books are not counted, because a new index would reject them too.
        needs_rebuild = len(remaining - already_rejected) > _MAX_REPAIRS
        if difference.differing and not needs_rebuild:
            books = self._comparer.list_settled_books(difference.differing, up_to=up_to)
            rejected = len(projection.repair(index, books))
            if rejected < len(books):
                projection.invalidate_cache()
            remaining = set(self._comparer.compare(index, up_to=up_to).differing)
            repaired = len(set(difference.differing) - remaining)
            needs_rebuild = len(remaining) > rejected
        self._resolve_rejected_books(except_for=remaining, up_to=up_to, now=now)
        comparison = IndexComparison(
            at=now,
            books=difference.books,
            differing=len(difference.differing),
            repaired=repaired,
            rejected=rejected,
            rebuild=needs_rebuild,
        )
        save_comparison(self._redis, comparison)
        if difference.differing:
            counts = comparison.model_dump(exclude={"at"})
            logger.warning("index differed from records", examples=difference.differing[:5], **counts)
        return comparison

    def _resolve_rejected_books(self, *, except_for: Iterable[int], up_to: int, now: datetime) -> None:
        """Resolve the entries of books that are in the index. A process that died may have left them open."""
        rejected_books = self._projection.rejected_books
        candidates = sorted({book.number for book in rejected_books.list_open()}.difference(except_for))
        indexed = {book.number for book in self._comparer.list_settled_books(candidates, up_to=up_to)}
        if indexed:
            rejected_books.update([], now=to_millis(now), is_resolved=lambda book: book.number in indexed)

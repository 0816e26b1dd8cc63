"""Compares the index with the records in the background, repairs what differs, and tells what it found."""

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

_MOST_REPAIRS = 20_000
logger = get_logger(__name__)


class IndexSweep:
    def __init__(self, projection: Projection, redis: Redis) -> None:
        self._projection = projection
        self._comparer = IndexComparer(projection.feed)
        self._redis = redis

    def run(self, index: IndexWriter, *, now: datetime) -> IndexComparison:
        """`rebuild`, where the index has too much wrong, or what the records know nothing of."""
        projection = self._projection
        projection.catch_up(index)
        up_to = projection.feed.cursor(SEARCH_PROJECTION)
        found = self._comparer.compare(index, up_to=up_to)
        repaired = rejected = 0
        remaining = set(found.differing)
        known = {one.number for one in projection.refusals.list_open()}
        rebuild = len(remaining - known) > _MOST_REPAIRS  # an index built anew would be refused the others as well
        if found.differing and not rebuild:
            books = self._comparer.settled_books(found.differing, up_to=up_to)
            rejected = len(projection.repair(index, books))
            if rejected < len(books):
                projection.void_answers()  # answers of what was wrong are cached
            remaining = set(self._comparer.compare(index, up_to=up_to).differing)
            repaired = len(set(found.differing) - remaining)
            rebuild = len(remaining) > rejected
        self._settle(remaining, up_to=up_to, now=now)
        swept = IndexComparison(
            at=now,
            books=found.books,
            differing=len(found.differing),
            repaired=repaired,
            rejected=rejected,
            rebuild=rebuild,
        )
        save_comparison(self._redis, swept)
        if found.differing:
            told = swept.model_dump(exclude={"at"})
            logger.warning("the index differed from the records", examples=found.differing[:5], **told)
        return swept

    def _settle(self, differing: set[int], *, up_to: int, now: datetime) -> None:
        """Refused books that the index holds by now wait no more, whoever wrote them and died before it said so."""
        refusals = self._projection.refusals
        waiting = sorted({one.number for one in refusals.list_open()} - differing)
        held = {book.number for book in self._comparer.settled_books(waiting, up_to=up_to)}
        if held:
            refusals.update([], now=to_millis(now), is_resolved=lambda one: one.number in held)

"""Compares the index with the records in the background, repairs what differs, and tells what it found."""

from datetime import datetime

import orjson
from bookwheel_contracts.model import format_time
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import SEARCH_PROJECTION
from bookwheel_stores.search import IndexWriter
from redis import Redis

from bookwheel_processor.comparison import IndexComparer
from bookwheel_processor.projection import Projection

SWEEP_KEY = "bookwheel:sweep:index"
"""JSON of the latest comparison: `at`, `books`, `differing`, `repaired`, `rejected`, `rebuild` (is needed)."""
_MOST_REPAIRS = 20_000
_log = get_logger(__name__)


class IndexSweep:
    def __init__(self, projection: Projection, redis: Redis) -> None:
        self._projection = projection
        self._comparer = IndexComparer(projection.feed)
        self._redis = redis

    def run(self, index: IndexWriter, *, now: datetime) -> bool:
        """Whether the index has to be built anew: it has too much wrong, or what the records know nothing of."""
        projection = self._projection
        projection.catch_up(index)
        up_to = projection.feed.cursor(SEARCH_PROJECTION)
        found = self._comparer.compare(index, up_to=up_to)
        repaired = rejected = 0
        rebuild = len(found.differing) > _MOST_REPAIRS
        if found.differing and not rebuild:
            books = self._comparer.settled_books(found.differing, up_to=up_to)
            rejected = len(projection.put(index, books))
            remaining = set(self._comparer.compare(index, up_to=up_to).differing)
            repaired = len(set(found.differing) - remaining)
            rebuild = len(remaining) > rejected
        told = {
            "at": format_time(now),
            "books": found.books,
            "differing": len(found.differing),
            "repaired": repaired,
            "rejected": rejected,
            "rebuild": rebuild,
        }
        self._redis.set(SWEEP_KEY, orjson.dumps(told))
        if found.differing:
            _log.warning("the index differed from the records", examples=found.differing[:5], **told)
        return rebuild

"""Compares the index with the records in the background, repairs what differs, and tells what it found."""

from dataclasses import asdict, dataclass
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
"""JSON of the latest comparison: `at`, and what `Swept` holds."""
_MOST_REPAIRS = 20_000
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """`books` that the records hold; how many of the index were `differing`, `repaired`, and `rejected` by the engine.

    `rebuild`: the index has to be built anew. It has too much wrong, or what the records know nothing of.
    """

    books: int
    differing: int
    repaired: int
    rejected: int
    rebuild: bool


class IndexSweep:
    def __init__(self, projection: Projection, redis: Redis) -> None:
        self._projection = projection
        self._comparer = IndexComparer(projection.feed)
        self._redis = redis

    def run(self, index: IndexWriter, *, now: datetime) -> Swept:
        projection = self._projection
        projection.catch_up(index)
        up_to = projection.feed.cursor(SEARCH_PROJECTION)
        found = self._comparer.compare(index, up_to=up_to)
        repaired = rejected = 0
        rebuild = len(found.differing) > _MOST_REPAIRS
        if found.differing and not rebuild:
            books = self._comparer.settled_books(found.differing, up_to=up_to)
            rejected = len(projection.put(index, books))
            projection.void_answers()  # answers of what was wrong are cached
            remaining = set(self._comparer.compare(index, up_to=up_to).differing)
            repaired = len(set(found.differing) - remaining)
            rebuild = len(remaining) > rejected
        swept = Swept(found.books, len(found.differing), repaired, rejected, rebuild)
        self._redis.set(SWEEP_KEY, orjson.dumps({"at": format_time(now), **asdict(swept)}))
        if found.differing:
            _log.warning("the index differed from the records", examples=found.differing[:5], **asdict(swept))
        return swept

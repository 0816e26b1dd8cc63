"""Metrics of the whole suite, read from Redis and the records at each scrape.

The single scheduler exports them, so that values are not counted twice.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from bookwheel_runtime.logs import get_logger
from bookwheel_stores.heartbeats import list_services
from bookwheel_stores.index_report import load_comparison
from bookwheel_stores.records.feed.lag import FeedLag
from bookwheel_stores.streams import list_stream_lags
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

Values = Mapping[tuple[str, ...], float]

# All are gauges: a replay moves items from one verdict to another.
FAMILIES = MappingProxyType(
    {
        "bookwheel_store_up": (("store",), "Whether the scheduler reaches the store."),
        "bookwheel_stream_lag_entries": (("stream", "group"), "Entries that a group has not acknowledged."),
        "bookwheel_stream_oldest_entry_age_seconds": (
            ("stream", "group"),
            "Age of the oldest such entry, or 0 if there is none.",
        ),
        "bookwheel_replicas_ready": (("service",), "Replicas of a service whose last heartbeat was ready."),
        "bookwheel_index_compared_books": (
            ("result",),
            "Books in the last comparison of index and records; `rejected`: books that the index never accepts.",
        ),
        "bookwheel_items": (("verdict",), "Items of all crawls, by verdict."),
        "bookwheel_projection_lag_seconds": (
            ("projection",),
            "Age of the oldest change that a projection has not applied; `search` is the index.",
        ),
        "bookwheel_projection_lag_changes": (("projection",), "Changes that a projection has not applied yet."),
    }
)
"""Labels and description by metric."""
logger = get_logger(__name__)


class SuiteMetrics(Collector):
    """Collects the metrics. Of an unavailable store, only `bookwheel_store_up` is exported."""

    def __init__(self, redis: Redis, engine: Engine) -> None:
        self._redis = redis
        self._feed = FeedLag(engine)

    def collect(self) -> Iterable[Metric]:
        up: dict[tuple[str, ...], float] = {}
        for store, read in (("redis", self._read_redis), ("records", self._read_records)):
            metrics = _read_or_none(read)
            up[(store,)] = 0 if metrics is None else 1
            yield from (_family(name, values) for name, values in (metrics or {}).items())
        yield _family("bookwheel_store_up", up)

    def _read_redis(self) -> dict[str, Values]:
        lags = list_stream_lags(self._redis)
        comparison = load_comparison(self._redis)
        return {
            "bookwheel_stream_lag_entries": {(lag.stream, lag.group): lag.lag for lag in lags},
            "bookwheel_stream_oldest_entry_age_seconds": {
                (lag.stream, lag.group): lag.oldest_seconds or 0.0 for lag in lags
            },
            "bookwheel_replicas_ready": {(service.name,): service.ready for service in list_services(self._redis)},
            "bookwheel_index_compared_books": {}
            if comparison is None
            else {
                ("compared",): comparison.books,
                ("differing",): comparison.differing,
                ("repaired",): comparison.repaired,
                ("rejected",): comparison.rejected,
            },
        }

    def _read_records(self) -> dict[str, Values]:
        lags = self._feed.list_projection_lags()
        return {
            "bookwheel_items": {(verdict,): count for verdict, count in self._feed.count_items_by_verdict().items()},
            "bookwheel_projection_lag_seconds": {(lag.name,): lag.seconds for lag in lags},
            "bookwheel_projection_lag_changes": {(lag.name,): lag.head - lag.cursor for lag in lags},
        }


def _family(name: str, values: Values) -> Metric:
    labels, description = FAMILIES[name]
    family = GaugeMetricFamily(name, description, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _read_or_none(read: Callable[[], dict[str, Values]]) -> dict[str, Values] | None:
    try:
        return read()
    except (RedisError, SQLAlchemyError, OSError) as error:
        logger.warning("store metrics unavailable", error=str(error)[:500])
        return None

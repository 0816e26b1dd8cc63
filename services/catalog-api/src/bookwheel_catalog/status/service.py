"""Collects the status of all services from Redis and the database."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bookwheel_contracts.redis_keys import PREDICTION_STREAM, RAW_STREAM
from bookwheel_contracts.status import IndexComparison, Level, ProjectionLag, ServiceStatus, StreamLag, SuiteStatus
from bookwheel_stores.heartbeats import list_services
from bookwheel_stores.index_report import load_comparison
from bookwheel_stores.records import DATABASE_ERRORS, RunStore
from bookwheel_stores.records.feed.lag import FeedLag
from bookwheel_stores.streams import list_stream_lags
from redis import Redis
from redis.exceptions import RedisError

Query = Callable[[], Any]
_MAX_LISTED_CRAWLS = 5
_DATA_STREAMS = (RAW_STREAM, PREDICTION_STREAM)
"""Streams of data. The age of entries in request streams is not checked, because a request may take a long time."""
_STUCK_SECONDS = 300.0
"""An older backlog usually means a configuration error, such as a revoked store credential, or too few workers."""


class StatusService:
    def __init__(self, redis: Redis, feed: FeedLag, runs: RunStore) -> None:
        self._redis = redis
        self._feed = feed
        self._runs = runs

    def get(self) -> SuiteStatus:
        """Returns the status. An unavailable store is reported in `faults` and does not raise."""
        faults: dict[str, str] = {}
        redis_queries: dict[str, Query] = {
            "services": lambda: list_services(self._redis),
            "streams": lambda: list_stream_lags(self._redis),
            "index": lambda: load_comparison(self._redis),
        }
        database_queries: dict[str, Query] = {
            "projections": self._feed.list_projection_lags,
            "items": self._feed.count_items_by_verdict,
            "crawls": lambda: self._runs.list_latest(limit=_MAX_LISTED_CRAWLS),
        }
        parts = _run_queries("redis", redis_queries, faults) | _run_queries("records", database_queries, faults)
        services: list[ServiceStatus] | None = parts["services"]
        if services is not None:
            faults |= {service.name: _describe_unready_service(service) for service in services if not service.ready}
            models = {replica.model for service in services for replica in service.replicas if replica.model}
            parts["models"] = sorted(models, key=lambda model: (model.name, model.version))
        index: IndexComparison | None = parts["index"]
        if index is not None and index.rejected:
            faults["index"] = (
                f"permanently rejects {index.rejected} books; they are in quarantine with the code refused_by_index"
            )
        faults |= _describe_stuck_streams(parts["streams"] or []) | _describe_stuck_projections(
            parts["projections"] or []
        )
        return SuiteStatus(
            status=Level.DEGRADED if faults else Level.OK,
            faults=faults,
            checked_at=datetime.now(UTC),
            **{"models": None, **parts},
        )


def _run_queries(store: str, queries: dict[str, Query], faults: dict[str, str]) -> dict[str, Any]:
    """Returns the results by name; None for a failed query and for all later queries of that store."""
    results: dict[str, Any] = dict.fromkeys(queries)
    try:
        for name, query in queries.items():
            results[name] = query()
    except (RedisError, *DATABASE_ERRORS) as error:
        faults[store] = f"is unavailable: {str(error)[:500]}"
    return results


def _describe_stuck_streams(lags: list[StreamLag]) -> dict[str, str]:
    return {
        f"{lag.stream} for {lag.group}": (f"backlog of {lag.lag} entries, the oldest is {lag.oldest_seconds:.0f} s old")
        for lag in lags
        if lag.stream in _DATA_STREAMS and lag.oldest_seconds is not None and lag.oldest_seconds > _STUCK_SECONDS
    }


def _describe_stuck_projections(lags: list[ProjectionLag]) -> dict[str, str]:
    return {lag.name: f"{lag.seconds:.0f} s behind the records" for lag in lags if lag.seconds > _STUCK_SECONDS}


def _describe_unready_service(service: ServiceStatus) -> str:
    reasons = [replica.reason for replica in service.replicas if replica.reason]
    if reasons:
        return f"no replica is ready: {reasons[0]}"
    return "no replica has sent a recent heartbeat" if service.replicas else "no replica has registered"

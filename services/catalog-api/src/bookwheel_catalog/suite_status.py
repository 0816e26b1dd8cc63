"""How the whole suite is, asked of Redis and the records when somebody wants to know."""

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

Question = Callable[[], Any]
_CRAWLS = 5
_FLOWING = (RAW_STREAM, PREDICTION_STREAM)  # an entry of the others stays for as long as what it asks for takes
_STUCK_SECONDS = 300.0
"""What waits for so long waits for more than its turn: for a store that refuses a revoked key, or for more workers."""


class StatusBoard:
    def __init__(self, redis: Redis, feed: FeedLag, runs: RunStore) -> None:
        self._redis = redis
        self._feed = feed
        self._runs = runs

    def read(self) -> SuiteStatus:
        """Raises nothing: a store that is away is what the answer says."""
        faults: dict[str, str] = {}
        redis: dict[str, Question] = {
            "services": lambda: list_services(self._redis),
            "streams": lambda: list_stream_lags(self._redis),
            "index": lambda: load_comparison(self._redis),
        }
        records: dict[str, Question] = {
            "projections": self._feed.projections,
            "items": self._feed.items,
            "crawls": lambda: self._runs.list_latest(limit=_CRAWLS),
        }
        found = _ask("redis", redis, faults) | _ask("records", records, faults)
        heard: list[ServiceStatus] | None = found["services"]
        if heard is not None:
            faults |= {service.name: _shortage(service) for service in heard if not service.ready}
            models = {replica.model for service in heard for replica in service.replicas if replica.model}
            found["models"] = sorted(models, key=lambda model: (model.name, model.version))
        index: IndexComparison | None = found["index"]
        if index is not None and index.rejected:
            faults["index"] = f"refuses {index.rejected} books for good: quarantine has them as refused_by_index"
        faults |= _stuck(found["streams"] or [], found["projections"] or [])
        return SuiteStatus(
            status=Level.DEGRADED if faults else Level.OK,
            faults=faults,
            checked_at=datetime.now(UTC),
            **{"models": None, **found},
        )


def _ask(store: str, questions: dict[str, Question], faults: dict[str, str]) -> dict[str, Any]:
    """The answers, or None for each where the store is away: then it is asked no more."""
    found: dict[str, Any] = dict.fromkeys(questions)
    try:
        for name, question in questions.items():
            found[name] = question()
    except (RedisError, *DATABASE_ERRORS) as error:
        faults[store] = f"does not answer: {str(error)[:500]}"
    return found


def _stuck(streams: list[StreamLag], projections: list[ProjectionLag]) -> dict[str, str]:
    waiting = {
        f"{lag.stream} for {lag.group}": f"{lag.lag} entries wait, the oldest for {lag.oldest_seconds:.0f} s"
        for lag in streams
        if lag.stream in _FLOWING and lag.oldest_seconds is not None and lag.oldest_seconds > _STUCK_SECONDS
    }
    behind = {
        lag.name: f"{lag.seconds:.0f} s behind the records" for lag in projections if lag.seconds > _STUCK_SECONDS
    }
    return waiting | behind


def _shortage(service: ServiceStatus) -> str:
    reasons = [replica.reason for replica in service.replicas if replica.reason]
    if reasons:
        return f"no replica is ready: {reasons[0]}"
    return "no replica has been heard lately" if service.replicas else "no replica is known"

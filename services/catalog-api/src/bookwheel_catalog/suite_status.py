"""How the whole suite is, asked of Redis and the records when somebody wants to know."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bookwheel_contracts.status import Level, ServiceStatus, SuiteStatus
from bookwheel_stores.records import DATABASE_AWAY, RunStore
from bookwheel_stores.records.feed_lag import FeedLag
from bookwheel_stores.replicas import services
from bookwheel_stores.streams.lag import stream_lags
from redis import Redis
from redis.exceptions import RedisError

Question = Callable[[], Any]
_CRAWLS = 5


class StatusBoard:
    def __init__(self, redis: Redis, feed: FeedLag, runs: RunStore) -> None:
        self._redis = redis
        self._feed = feed
        self._runs = runs

    def read(self) -> SuiteStatus:
        """Raises nothing: a store that is away is what the answer says."""
        faults: dict[str, str] = {}
        redis: dict[str, Question] = {
            "services": lambda: services(self._redis),
            "streams": lambda: stream_lags(self._redis),
        }
        records: dict[str, Question] = {
            "projections": self._feed.projections,
            "items": self._feed.items,
            "crawls": lambda: self._runs.latest(limit=_CRAWLS),
        }
        found = _ask("redis", redis, faults) | _ask("records", records, faults)
        heard: list[ServiceStatus] | None = found["services"]
        if heard is not None:
            faults |= {service.name: _shortage(service) for service in heard if not service.ready}
            models = {replica.model for service in heard for replica in service.replicas if replica.model}
            found["models"] = sorted(models, key=lambda model: (model.name, model.version))
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
    except (RedisError, *DATABASE_AWAY) as error:
        faults[store] = f"does not answer: {str(error)[:500]}"
    return found


def _shortage(service: ServiceStatus) -> str:
    reasons = [replica.reason for replica in service.replicas if replica.reason]
    if reasons:
        return f"no replica is ready: {reasons[0]}"
    return "no replica has been heard lately" if service.replicas else "no replica is known"

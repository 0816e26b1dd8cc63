"""Publishes and lists the heartbeats of replicas in Redis."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version

from bookwheel_contracts.redis_keys import REPLICAS_KEY
from bookwheel_contracts.status import (
    HEARTBEAT_SECONDS,
    HEARTBEAT_TIMEOUT_SECONDS,
    REPLICA_RETENTION_SECONDS,
    SERVICES,
    Heartbeat,
    ModelRef,
    Replica,
    ServiceStatus,
)
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

_STOP_SECONDS = 2.0


def _return_none() -> None:
    return None


class HeartbeatPublisher(threading.Thread):
    """Publishes a heartbeat of this replica every few seconds until it is stopped. Its time is the time of Redis.

    `get_error` returns the reason why the replica is not ready, or None. If it is slow or Redis is unavailable,
    heartbeats are only delayed.
    """

    def __init__(
        self,
        redis: Redis,
        service: str,
        *,
        get_error: Callable[[], str | None] = _return_none,
        progress: Callable[[], float | None] = _return_none,
        model: Callable[[], ModelRef | None] = _return_none,
        interval: float = HEARTBEAT_SECONDS,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._redis = redis
        self._service = service
        self._instance = socket.gethostname()
        self._get_error = get_error
        self._progress = progress
        self._model = model
        self._interval = interval
        self._started_at = datetime.now(UTC)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """Stops publishing and deletes the heartbeat."""
        self._stopping.set()
        if self.is_alive():
            self.join(_STOP_SECONDS)
        with suppress(RedisError):
            self._redis.hdel(REPLICAS_KEY, self._field)

    def run(self) -> None:
        while not self._stopping.is_set():
            ready = False
            with suppress(RedisError):
                ready = self._publish()
            self._stopping.wait(self._interval if ready else min(1.0, self._interval))

    @property
    def _field(self) -> str:
        return f"{self._service}/{self._instance}"

    def _publish(self) -> bool:
        error = self._get_error()
        heartbeat = Heartbeat(
            service=self._service,
            instance=self._instance,
            version=version("bookwheel-stores"),
            started_at=self._started_at,
            seen_at=_now(self._redis),
            ready=error is None,
            reason=error and error[:500],
            progress_seconds=self._progress(),
            model=self._model(),
        )
        if not self._stopping.is_set():
            self._redis.hset(REPLICAS_KEY, self._field, heartbeat.model_dump_json())
        return heartbeat.ready


def list_replicas(redis: Redis) -> list[Replica]:
    """Returns the replicas with a heartbeat in the last minutes, including silent replicas. Raises RedisError."""
    now = _now(redis)
    replicas = []
    for field, text in redis.hgetall(REPLICAS_KEY).items():
        try:
            heartbeat = Heartbeat.model_validate_json(text)
        except ValidationError:  # written by another version
            redis.hdel(REPLICAS_KEY, field)
            continue
        silent_for = max(timedelta(0), now - heartbeat.seen_at).total_seconds()
        if silent_for > REPLICA_RETENTION_SECONDS:
            redis.hdel(REPLICAS_KEY, field)
        else:
            replicas.append(Replica(**heartbeat.model_dump(), silent_seconds=silent_for))
    return sorted(replicas, key=lambda replica: (replica.service, replica.instance))


def list_services(redis: Redis) -> list[ServiceStatus]:
    """Returns every service of the suite with its replicas. Raises RedisError."""
    replicas = list_replicas(redis)
    return [
        ServiceStatus(
            name=name,
            ready=sum(
                replica.ready and replica.silent_seconds < HEARTBEAT_TIMEOUT_SECONDS
                for replica in replicas
                if replica.service == name
            ),
            replicas=tuple(replica for replica in replicas if replica.service == name),
        )
        for name in SERVICES
    ]


def _now(redis: Redis) -> datetime:
    seconds, micros = redis.time()
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))

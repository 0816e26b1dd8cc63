"""What each replica of a program tells of itself in Redis, and who reads it."""

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

_PATIENCE = 2.0


def _nothing() -> None:
    return None


class HeartbeatPublisher(threading.Thread):
    """Tells every few seconds, by Redis' clock, how this replica of a service is, until it is stopped.

    `fault` says what is wrong, None where nothing is. A Redis that is away, or a `fault` that takes long, costs
    heartbeats and nothing else.
    """

    def __init__(
        self,
        redis: Redis,
        service: str,
        *,
        fault: Callable[[], str | None] = _nothing,
        progress: Callable[[], float | None] = _nothing,
        model: Callable[[], ModelRef | None] = _nothing,
        every: float = HEARTBEAT_SECONDS,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._redis = redis
        self._service = service
        self._instance = socket.gethostname()
        self._fault = fault
        self._progress = progress
        self._model = model
        self._every = every
        self._started_at = datetime.now(UTC)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """An orderly end: nobody waits for another word."""
        self._stopping.set()
        if self.is_alive():
            self.join(_PATIENCE)
        with suppress(RedisError):
            self._redis.hdel(REPLICAS_KEY, self._field)

    def run(self) -> None:
        while not self._stopping.is_set():
            ready = False
            with suppress(RedisError):
                ready = self._publish()
            self._stopping.wait(self._every if ready else min(1.0, self._every))

    @property
    def _field(self) -> str:
        return f"{self._service}/{self._instance}"

    def _publish(self) -> bool:
        fault = self._fault()
        told = Heartbeat(
            service=self._service,
            instance=self._instance,
            version=version("bookwheel-stores"),
            started_at=self._started_at,
            seen_at=_now(self._redis),
            ready=fault is None,
            reason=fault and fault[:500],
            progress_seconds=self._progress(),
            model=self._model(),
        )
        if not self._stopping.is_set():
            self._redis.hset(REPLICAS_KEY, self._field, told.model_dump_json())
        return told.ready


def list_replicas(redis: Redis) -> list[Replica]:
    """All that have lately been heard, and those that fell silent. Raises RedisError."""
    now = _now(redis)
    found = []
    for field, text in redis.hgetall(REPLICAS_KEY).items():
        try:
            told = Heartbeat.model_validate_json(text)
        except ValidationError:  # of another version
            redis.hdel(REPLICAS_KEY, field)
            continue
        silent_for = max(timedelta(0), now - told.seen_at).total_seconds()
        if silent_for > REPLICA_RETENTION_SECONDS:
            redis.hdel(REPLICAS_KEY, field)
        else:
            found.append(Replica(**told.model_dump(), silent_seconds=silent_for))
    return sorted(found, key=lambda replica: (replica.service, replica.instance))


def list_services(redis: Redis) -> list[ServiceStatus]:
    """Every program of the suite, with the replicas that were heard of. Raises RedisError."""
    heard = list_replicas(redis)
    return [
        ServiceStatus(
            name=name,
            ready=sum(
                each.ready and each.silent_seconds < HEARTBEAT_TIMEOUT_SECONDS for each in heard if each.service == name
            ),
            replicas=tuple(each for each in heard if each.service == name),
        )
        for name in SERVICES
    ]


def _now(redis: Redis) -> datetime:
    seconds, micros = redis.time()
    return datetime.fromtimestamp(int(seconds), UTC) + timedelta(microseconds=int(micros))

"""Sends served predictions to their stream in the background: no answer waits for it, and none fails of it."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from bookwheel_contracts.model import format_time
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.streams import StreamWriter
from redis.exceptions import RedisError

logger = get_logger(__name__)

_BATCH = 500
_FLUSH_SECONDS = 0.2
_RETRY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class ServedPrediction:
    """A `PredictionRecord` before it is written out; the writer thread does that, off the answer's path."""

    prediction_id: str
    book_id: str | None
    predicted_at: float
    model_name: str
    model_version: str
    rating: float
    low: float
    high: float
    features: tuple[float, ...]
    subject: str
    traceparent: str

    def body(self) -> bytes:
        moment = format_time(datetime.fromtimestamp(self.predicted_at, UTC))
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({**fields, "predicted_at": moment})


class PredictionLog:
    """A bounded buffer and one thread. While Redis is away the oldest `limit` records wait; later ones are dropped."""

    def __init__(self, writer: StreamWriter, *, limit: int) -> None:
        self._writer = writer
        self._limit = limit
        self._waiting: deque[ServedPrediction] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, seconds: float = 5.0) -> None:
        """Writes out what waits, for at most `seconds`."""
        self._stopping.set()
        self._thread.join(timeout=seconds)
        if self._waiting:
            logger.warning("prediction records lost at shutdown", records=len(self._waiting))

    def add(self, records: list[ServedPrediction]) -> None:
        room = self._limit - len(self._waiting)
        self._waiting.extend(records[: max(room, 0)])
        self.dropped += max(len(records) - max(room, 0), 0)

    def _run(self) -> None:
        reported = 0
        while not self._stopping.wait(_FLUSH_SECONDS) or self._waiting:
            if not self._flush() and self._stopping.wait(_RETRY_SECONDS):
                return
            if self.dropped != reported:
                logger.warning("prediction records dropped", dropped=self.dropped, limit=self._limit)
                reported = self.dropped

    def _flush(self) -> bool:
        while self._waiting:
            batch = [self._waiting[position] for position in range(min(_BATCH, len(self._waiting)))]
            try:
                self._writer.publish([record.body() for record in batch])
            except RedisError as error:
                logger.warning("prediction records wait for Redis", waiting=len(self._waiting), error=str(error))
                return False
            for _ in batch:
                self._waiting.popleft()
        return True

"""Publishes served predictions to their stream from a background thread."""

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson
from bookwheel_contracts.model import format_time
from bookwheel_contracts.problems import UnavailableError
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.streams import StreamWriter
from redis.exceptions import RedisError

logger = get_logger(__name__)

_BATCH_SIZE = 500
_FLUSH_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class PredictionLogEntry:
    """The fields of a `PredictionRecord`. The log's thread serializes the entry, outside the request."""

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

    def to_json(self) -> bytes:
        predicted_at = format_time(datetime.fromtimestamp(self.predicted_at, UTC))
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({**fields, "predicted_at": predicted_at})


class PredictionLog:
    """A bounded buffer, and a thread that publishes it to a bounded stream.

    The stream holds up to `stream_limit` entries that no consumer has acknowledged. At the limit, `check_capacity`
    fails. While Redis is unavailable, the buffer holds up to `buffer_limit` entries and drops later ones.
    """

    def __init__(self, writer: StreamWriter, *, buffer_limit: int, stream_limit: int) -> None:
        self._writer = writer
        self._buffer_limit = buffer_limit
        self._stream_limit = stream_limit
        self._stream_length = 0
        self._buffer: deque[PredictionLogEntry] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.dropped_count = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout: float = 5.0) -> None:
        """Publishes the buffer, for at most `timeout` seconds."""
        self._stopping.set()
        self._thread.join(timeout=timeout)
        if self._buffer:
            logger.warning("prediction log entries lost at shutdown", entries=len(self._buffer))

    def check_capacity(self, count: int) -> None:
        """Raises UnavailableError if `count` more entries would exceed the stream's limit."""
        if self._stream_length + len(self._buffer) + count > self._stream_limit:
            raise UnavailableError("The prediction log is full: retry later.", retry_after=_RETRY_AFTER_SECONDS)

    def add(self, entries: list[PredictionLogEntry]) -> None:
        accepted = max(self._buffer_limit - len(self._buffer), 0)
        self._buffer.extend(entries[:accepted])
        self.dropped_count += max(len(entries) - accepted, 0)

    def _run(self) -> None:
        reported_drop_count = 0
        while not self._stopping.wait(_FLUSH_SECONDS) or self._buffer:
            # A flush also reads the stream's length again. It is needed even without new entries, until the stream's
            # consumer has caught up.
            if (self._buffer or self._stream_length) and not self._flush() and self._stopping.wait(_RETRY_SECONDS):
                return
            if self.dropped_count != reported_drop_count:
                logger.warning("prediction log entries dropped", dropped=self.dropped_count, limit=self._buffer_limit)
                reported_drop_count = self.dropped_count

    def _flush(self) -> bool:
        """Publishes entries up to the stream's limit. Returns False if entries stay in the buffer."""
        try:
            self._stream_length = self._writer.length()
            while self._buffer:
                batch_size = min(_BATCH_SIZE, len(self._buffer), self._stream_limit - self._stream_length)
                if batch_size <= 0:
                    logger.warning("prediction stream full", length=self._stream_length, buffered=len(self._buffer))
                    return False
                self._writer.publish([self._buffer[position].to_json() for position in range(batch_size)])
                for _ in range(batch_size):
                    self._stream_length += 1  # first, so that `check_capacity` never counts too few entries
                    self._buffer.popleft()
                self._stream_length = self._writer.length()
        except RedisError as error:
            self._stream_length = 0  # unknown
            logger.warning("prediction log entries not published", buffered=len(self._buffer), error=str(error))
            return False
        return True

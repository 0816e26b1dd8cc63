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

_BATCH = 500
_FLUSH_SECONDS = 0.2
_RETRY_SECONDS = 1.0
_RETRY_AFTER = 5


@dataclass(frozen=True, slots=True)
class ServedPrediction:
    """The fields of a `PredictionRecord`. The log's thread serializes it, outside the request."""

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
        predicted_at = format_time(datetime.fromtimestamp(self.predicted_at, UTC))
        fields = {name: getattr(self, name) for name in self.__slots__}
        return orjson.dumps({**fields, "predicted_at": predicted_at})


class PredictionLog:
    """A bounded buffer, and a thread that publishes it to a bounded stream.

    The stream holds up to `stream_limit` records that no consumer has acknowledged. At the limit, the service refuses
    predictions (`check_capacity`). While Redis is unavailable, the buffer holds up to `buffer_limit` records and drops
    later ones.
    """

    def __init__(self, writer: StreamWriter, *, buffer_limit: int, stream_limit: int) -> None:
        self._writer = writer
        self._buffer_limit = buffer_limit
        self._stream_limit = stream_limit
        self._stream_length = 0
        self._buffer: deque[ServedPrediction] = deque()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self.dropped = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, seconds: float = 5.0) -> None:
        """Publishes the buffer, for at most `seconds`."""
        self._stopping.set()
        self._thread.join(timeout=seconds)
        if self._buffer:
            logger.warning("prediction records lost at shutdown", records=len(self._buffer))

    def check_capacity(self, count: int) -> None:
        """Raises UnavailableError if the stream has no room for `count` more records."""
        if self._stream_length + len(self._buffer) + count > self._stream_limit:
            raise UnavailableError(
                "The prediction log is unavailable: it is full. Retry later.", retry_after=_RETRY_AFTER
            )

    def add(self, records: list[ServedPrediction]) -> None:
        room = max(self._buffer_limit - len(self._buffer), 0)
        self._buffer.extend(records[:room])
        self.dropped += max(len(records) - room, 0)

    def _run(self) -> None:
        reported = 0
        while not self._stopping.wait(_FLUSH_SECONDS) or self._buffer:
            if (self._buffer or self._stream_length) and not self._flush() and self._stopping.wait(_RETRY_SECONDS):
                return
            if self.dropped != reported:
                logger.warning("prediction records dropped", dropped=self.dropped, limit=self._buffer_limit)
                reported = self.dropped

    def _flush(self) -> bool:
        """Publishes what the stream has room for. Returns False if records stay in the buffer."""
        try:
            self._stream_length = self._writer.length()
            while self._buffer:
                size = min(_BATCH, len(self._buffer), self._stream_limit - self._stream_length)
                if size <= 0:
                    logger.warning("prediction stream full", length=self._stream_length, buffered=len(self._buffer))
                    return False
                self._writer.publish([self._buffer[position].body() for position in range(size)])
                for _ in range(size):
                    self._buffer.popleft()
                self._stream_length = self._writer.length()
        except RedisError as error:
            self._stream_length = 0  # unknown
            logger.warning("prediction records not published", buffered=len(self._buffer), error=str(error))
            return False
        return True

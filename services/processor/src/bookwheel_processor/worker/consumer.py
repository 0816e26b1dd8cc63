"""Consumes the streams: reads, handles and acknowledges one batch after another."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from bookwheel_contracts import PredictionRecord
from bookwheel_contracts.redis_keys import PREDICTION_STREAM
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records import CONTENT_ERRORS, DATABASE_ERRORS, PredictionStore
from bookwheel_stores.streams import StreamEntry, StreamReader

from bookwheel_processor.ingest.batch import IngestResult
from bookwheel_processor.ingest.decoding import RejectedEntry, decode_prediction
from bookwheel_processor.pipeline import ItemPipeline

T = TypeVar("T")
_ATTEMPTS = 5
_FIRST_PAUSE_SECONDS = 0.2
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamConsumer:
    """`time_box`: seconds after which no further batch is read. `linger_ms`: how long a read waits for entries at the
    stream's end."""

    reader: StreamReader
    batch_size: int
    time_box: float = 5.0
    linger_ms: int = 400

    def run(self, handle: Callable[[list[StreamEntry]], None]) -> int:
        """Pass batch after batch to `handle`, unfinished ones first; return the number of entries.

        A batch is acknowledged once `handle` returns. When it raises, the batch stays pending.
        """
        deadline = time.monotonic() + self.time_box
        total = 0
        while time.monotonic() < deadline and (entries := self._next()):
            try:
                handle(entries)
            except Exception:  # MAX_DELIVERIES limits only deliveries whose worker died; this one ended with an error
                self.reader.decrement_delivery_count(entries)
                raise
            self.reader.acknowledge([entry.id for entry in entries])
            total += len(entries)
        return total

    def _next(self) -> list[StreamEntry]:
        reader, size = self.reader, self.batch_size
        return reader.resume(size) or reader.claim(size) or reader.read(size, block_ms=self.linger_ms)


def consume_items(consumer: StreamConsumer, pipeline: ItemPipeline, *, on_batch: Callable[[IngestResult], None]) -> int:
    """Ingest the stream's entries; return their number. `on_batch` is called after each committed batch.

    An entry whose content the database rejects is quarantined, and the others are ingested without it. Raises
    SQLAlchemy's OperationalError if every attempt fails; the entries then stay pending.
    """

    def handle(entries: list[StreamEntry]) -> None:
        try:
            on_batch(_retry(partial(pipeline.ingest, entries)))
        except CONTENT_ERRORS as error:
            if len(entries) > 1:
                half = len(entries) // 2
                handle(entries[:half])
                handle(entries[half:])
            else:
                logger.exception("entry rejected by database", entry=entries[0].id)
                on_batch(_retry(partial(pipeline.quarantine, entries[0], type(error).__name__)))

    return consumer.run(handle)


def consume_predictions(
    consumer: StreamConsumer, store: PredictionStore, *, quarantine: Callable[[list[RejectedEntry]], None]
) -> int:
    """Store the stream's predictions; return the number of entries. `quarantine` gets the invalid ones."""

    def handle(entries: list[StreamEntry]) -> None:
        records: list[PredictionRecord] = []
        rejected: list[RejectedEntry] = []
        for entry in entries:
            prediction = decode_prediction(f"{PREDICTION_STREAM}/{entry.id}", entry.body)
            if isinstance(prediction, RejectedEntry):
                rejected.append(prediction)
            else:
                records.append(prediction)
        _retry(partial(store.write, records))
        if rejected:
            quarantine(rejected)

    return consumer.run(handle)


def _retry(call: Callable[[], T]) -> T:
    """Retry with exponential backoff while the database is unavailable, for example locked or full.

    Other errors are caused by the batch and are not retried.
    """
    pause = _FIRST_PAUSE_SECONDS
    for _ in range(_ATTEMPTS - 1):
        try:
            return call()
        except DATABASE_ERRORS as error:
            logger.warning("batch postponed: database unavailable", error=str(error)[:500], pause=pause)
            time.sleep(pause)
            pause *= 2
    return call()

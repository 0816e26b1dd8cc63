"""Consumes the streams: reads a batch, handles it, acknowledges it, and repeats."""

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
_FIRST_PAUSE = 0.2  # seconds
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamConsumer:
    """`time_box`: seconds after which no batch is read any more. `linger_ms`: how long to wait for entries at the
    stream's end."""

    reader: StreamReader
    batch: int
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
            except Exception:
                self.reader.decrement_delivery_count(entries)
                raise
            self.reader.acknowledge([entry.id for entry in entries])
            total += len(entries)
        return total

    def _next(self) -> list[StreamEntry]:
        reader, batch = self.reader, self.batch
        return reader.resume(batch) or reader.claim(batch) or reader.read(batch, block_ms=self.linger_ms)


def consume_items(consumer: StreamConsumer, pipeline: ItemPipeline, *, on_batch: Callable[[IngestResult], None]) -> int:
    """Ingest the stream's entries; return their number. `on_batch` is called after each committed batch.

    An entry whose content the database refuses goes to quarantine, and the others are ingested without it. Raises
    SQLAlchemy's OperationalError when the database fails every attempt: the entries stay pending.
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
                logger.exception("entry refused by database", entry=entries[0].id)
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
    """Retry with exponential backoff while the database is locked or full: the batch itself is not at fault."""
    pause = _FIRST_PAUSE
    for _ in range(_ATTEMPTS - 1):
        try:
            return call()
        except DATABASE_ERRORS as error:
            logger.warning("batch refused by database", error=str(error)[:500], pause=pause)
            time.sleep(pause)
            pause *= 2
    return call()

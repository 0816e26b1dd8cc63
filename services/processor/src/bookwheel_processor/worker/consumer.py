"""Empties the streams: reads a batch, takes it in, acknowledges it; and again."""

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

from bookwheel_processor.ingest.batch import Ingest, IngestResult
from bookwheel_processor.ingest.decoding import Refused, read_prediction

T = TypeVar("T")
_ATTEMPTS = 5
_FIRST_PAUSE = 0.2
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Drain:
    """Batches of one stream. `time_box` is how long a drain may go on, in seconds, `linger_ms` how long it waits for
    more at the stream's end."""

    reader: StreamReader
    batch: int
    time_box: float = 5.0
    linger_ms: int = 400

    def run(self, take: Callable[[list[StreamEntry]], None]) -> int:
        """Hands batch after batch to `take`, what was left unfinished first; returns the number of entries.

        A batch is acknowledged once `take` returns. When it raises, the batch stays pending for the next drain.
        """
        deadline = time.monotonic() + self.time_box
        total = 0
        while time.monotonic() < deadline and (entries := self._next()):
            try:
                take(entries)
            except Exception:
                self.reader.decrement_delivery_count(entries)
                raise
            self.reader.acknowledge([entry.id for entry in entries])
            total += len(entries)
        return total

    def _next(self) -> list[StreamEntry]:
        reader, batch = self.reader, self.batch
        return reader.resume(batch) or reader.claim(batch) or reader.read(batch, block_ms=self.linger_ms)


def drain_items(drain: Drain, ingest: Ingest, *, on_batch: Callable[[IngestResult], None]) -> int:
    """Takes in what the stream holds; returns the number of entries. `on_batch` is told of each committed batch.

    Raises SQLAlchemy's OperationalError when the database refuses to the end: the entries stay pending. An entry whose
    content the database refuses goes to quarantine, and the others are taken in without it.
    """

    def take(entries: list[StreamEntry]) -> None:
        try:
            on_batch(_insist(partial(ingest.take, entries)))
        except CONTENT_ERRORS as error:
            if len(entries) > 1:
                half = len(entries) // 2
                take(entries[:half])
                take(entries[half:])
            else:
                _log.exception("the database refused an entry", entry=entries[0].id)
                on_batch(_insist(partial(ingest.refuse, entries[0], type(error).__name__)))

    return drain.run(take)


def drain_predictions(drain: Drain, store: PredictionStore, *, refuse: Callable[[list[Refused]], None]) -> int:
    """Stores the predictions that the stream holds; returns the number of entries. `refuse` gets unreadable ones."""

    def take(entries: list[StreamEntry]) -> None:
        records: list[PredictionRecord] = []
        refused: list[Refused] = []
        for entry in entries:
            read = read_prediction(f"{PREDICTION_STREAM}/{entry.id}", entry.body)
            if isinstance(read, Refused):
                refused.append(read)
            else:
                records.append(read)
        _insist(partial(store.write, records))
        if refused:
            refuse(refused)

    return drain.run(take)


def _insist(call: Callable[[], T]) -> T:
    """A database that is locked or full may not be so in a second; nothing of the batch's content is to blame."""
    pause = _FIRST_PAUSE
    for _ in range(_ATTEMPTS - 1):
        try:
            return call()
        except DATABASE_ERRORS as error:
            _log.warning("the database refused a batch", error=str(error)[:500], pause=pause)
            time.sleep(pause)
            pause *= 2
    return call()

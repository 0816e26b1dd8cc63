"""Decodes stream entries. Every entry gives a result; invalid ones are rejected, not raised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bookwheel_contracts import (
    FieldError,
    PredictionRecord,
    RawItem,
    RunFinished,
    RunPages,
    RunStarted,
    parse_stream_message,
)
from bookwheel_contracts.crawls import SCHEMA_VERSION
from bookwheel_contracts.message_head import read_head
from bookwheel_contracts.model import MAX_KEY_LENGTH
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records.catalog.writer import OfferKey
from bookwheel_stores.records.runs.quarantine import NewQuarantineEntry
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.streams import StreamEntry
from pydantic import ValidationError

from bookwheel_processor.cleaning.errors import InvalidItemError
from bookwheel_processor.cleaning.identity import parse_source_key
from bookwheel_processor.cleaning.item import clean_item
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.classification import Sighting
from bookwheel_processor.ingest.rows import offer_columns

MAX_DELIVERIES = 5
"""An entry with more deliveries has stopped every worker that read it. It is rejected without decoding."""
_MAX_INTEGER = 2**63 - 1
_DAY_MILLIS = 24 * 3600 * 1000
# An item dated in the future would stay the newest of its offer until that date. Items that arrive before that date
# would count as duplicates.
_IN_THE_FUTURE = FieldError(field="scraped_at", code="in_the_future", message="is more than a day in the future")
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedItem:
    """A valid item. `columns` are the columns of its offer, see `rows.offer_columns`."""

    entry_id: str
    body: bytes
    raw_item: RawItem
    offer: CleanOffer
    columns: Mapping[str, Any]
    sighting: Sighting

    @property
    def key(self) -> OfferKey:
        return self.offer.source, self.offer.source_key


@dataclass(frozen=True, slots=True)
class RejectedEntry:
    """An entry for the quarantine. `run_id`, `item_number` and `source_key` are None if they cannot be read."""

    entry_id: str
    body: bytes
    reasons: tuple[FieldError, ...]
    run_id: str | None = None
    item_number: int | None = None
    source: str | None = None
    url: str | None = None
    source_key: str | None = None

    def for_quarantine(self) -> NewQuarantineEntry:
        return NewQuarantineEntry(
            self.entry_id, self.run_id, self.source, self.url, self.body, self.reasons, self.source_key
        )


DecodedEntry = AcceptedItem | RejectedEntry | RunStarted | RunPages | RunFinished


def decode_entry(entry: StreamEntry, *, now: int | None = None) -> DecodedEntry:
    """Decode an entry. Reject times more than a day after `now`, which is in milliseconds."""
    if entry.deliveries > MAX_DELIVERIES:
        return reject_entry(entry, "poison", f"was delivered {entry.deliveries} times without success")
    return decode_body(f"{RAW_STREAM}/{entry.id}", entry.body, now=now)


def reject_entry(entry: StreamEntry, code: str, message: str) -> RejectedEntry:
    """Reject an entry without decoding it."""
    return _reject_body(f"{RAW_STREAM}/{entry.id}", entry.body, code, message)


def database_error_reason(error_name: str) -> FieldError:
    """Return the reason to reject an entry whose content the database rejects."""
    return FieldError(field="entry", code="refused_by_database", message=f"was rejected by the database: {error_name}")


def decode_body(entry_id: str, body: bytes, *, now: int | None = None) -> DecodedEntry:
    try:
        message = parse_stream_message(body)
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first_error["loc"]) or "entry"
        return _reject_body(entry_id, body, first_error["type"], f"{path}: {first_error['msg']}"[:500])
    if not _fits_database(message):
        return _reject_body(entry_id, body, "out_of_range", "has a run, source or number that cannot be stored")
    if isinstance(message, RawItem):
        return _decode_item(entry_id, body, message, now)
    # A finish message repeats the start message, in case Redis lost it.
    start_message = message.start if isinstance(message, RunFinished) else None
    for event in [message, start_message] if start_message else [message]:
        if not 1 <= event.schema_version <= SCHEMA_VERSION:
            problem = f"has version {event.schema_version}, not {SCHEMA_VERSION}"
            return _reject_body(entry_id, body, "unknown_version", problem)
        if isinstance(event, RunPages):
            continue
        time = event.started_at if isinstance(event, RunStarted) else event.finished_at
        # A run dated in the future would count as the latest run of its source until that date.
        if _is_in_the_future(to_millis(time), now):
            return _reject_body(entry_id, body, _IN_THE_FUTURE.code, f"its time {_IN_THE_FUTURE.message}")
    return message


def decode_prediction(entry_id: str, body: bytes) -> PredictionRecord | RejectedEntry:
    try:
        return PredictionRecord.model_validate_json(body)
    except ValidationError as error:
        reason = FieldError(field="entry", code="invalid_prediction", message=str(error)[:500])
        return RejectedEntry(entry_id, body, (reason,))


def _is_in_the_future(millis: int, now: int | None) -> bool:
    return now is not None and millis > now + _DAY_MILLIS


def _fits_database(message: RawItem | RunStarted | RunPages | RunFinished) -> bool:
    """PostgreSQL rejects a NUL in a text, and both databases reject integers beyond 64 bits."""
    names = (message.run_id, message.source)
    numbers: tuple[int, ...] = ()
    if isinstance(message, RawItem):
        numbers = (message.item_number,)
    elif isinstance(message, RunPages):
        numbers = (message.first_page + len(message.pages),)
    elif isinstance(message, RunFinished):
        numbers = (message.scraped, message.pages, message.errors)
    return all(0 < len(name) <= MAX_KEY_LENGTH and "\0" not in name for name in names) and all(
        number <= _MAX_INTEGER for number in numbers
    )


def _decode_item(entry_id: str, body: bytes, item: RawItem, now: int | None) -> AcceptedItem | RejectedEntry:
    try:
        offer = clean_item(item)
        sighting = Sighting(to_millis(item.scraped_at), item.run_id, item.item_number)
        if _is_in_the_future(sighting.seen_at, now):
            raise InvalidItemError((_IN_THE_FUTURE,))
        return AcceptedItem(entry_id, body, item, offer, offer_columns(offer), sighting)
    except InvalidItemError as error:
        reasons = error.reasons
    except Exception:
        # A bug in the rules must not reject the whole batch.
        logger.exception("item cleaning failed", entry=entry_id, run_id=item.run_id, item_number=item.item_number)
        reasons = (FieldError(field="entry", code="internal_error", message="could not be cleaned: see the log"),)
    return RejectedEntry(
        entry_id, body, reasons, item.run_id, item.item_number, item.source, item.url, _source_key_or_none(item)
    )


def _source_key_or_none(item: RawItem) -> str | None:
    """Return the offer's key if it can be read. The rejected item then counts as a sighting of its offer."""
    try:
        return parse_source_key(item.payload.get("key"), item.url, item.site).value
    except Exception:  # noqa: BLE001 - a bug in the rules, which `_decode_item` logs
        return None


def _reject_body(entry_id: str, body: bytes, code: str, message: str) -> RejectedEntry:
    """Reject a body without decoding it.

    The run, the item number and the source are read from the beginning of the body if they are there. The item is then
    counted for its run.
    """
    reasons = (FieldError(field="entry", code=code, message=message),)
    kind, run_id, item_number, source = read_head(body)
    if not (kind == "item" and run_id and item_number and source):
        return RejectedEntry(entry_id, body, reasons)
    return RejectedEntry(entry_id, body, reasons, run_id, item_number, source)

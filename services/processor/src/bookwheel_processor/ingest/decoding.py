"""From a stream's entry to what is to be done with it. Pure: nothing here fails, whatever the entry holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bookwheel_contracts import FieldError, PredictionRecord, RawItem, RunFinished, RunStarted, parse_stream_message
from bookwheel_contracts.crawls import SCHEMA_VERSION
from bookwheel_contracts.message_head import read_head
from bookwheel_contracts.model import MAX_KEY_LENGTH
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_runtime.logs import get_logger
from bookwheel_stores.records.runs.quarantine import NewQuarantineEntry
from bookwheel_stores.records.values import to_millis
from bookwheel_stores.streams import StreamEntry
from pydantic import ValidationError

from bookwheel_processor.cleaning.faults import InvalidItemError
from bookwheel_processor.cleaning.identity import source_key
from bookwheel_processor.cleaning.item import clean_item
from bookwheel_processor.cleaning.offers import CleanOffer
from bookwheel_processor.ingest.classification import Sighting
from bookwheel_processor.ingest.rows import offer_columns

MAX_DELIVERIES = 5
"""An entry handed out more often than this has ended every worker that took it: it is not even looked at any more."""
_LARGEST_NUMBER = 2**63 - 1
_DAY = 24 * 3600 * 1000
# Taken in, it would be newer than all that is scraped until then, and its offer could not change before.
_FUTURE = FieldError(field="scraped_at", code="in_the_future", message="is more than a day ahead of the clock here")
logger = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """An item that can be taken in. `columns` are its offer's, see `rows.offer_columns`."""

    entry_id: str
    body: bytes
    item: RawItem
    offer: CleanOffer
    columns: Mapping[str, Any]
    sighting: Sighting


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry for the quarantine. `run_id`, `item_number` and `source_key` are None where it does not tell them."""

    entry_id: str
    body: bytes
    reasons: tuple[FieldError, ...]
    run_id: str | None = None
    item_number: int | None = None
    source: str | None = None
    url: str | None = None
    source_key: str | None = None


Delivery = Accepted | Refused | RunStarted | RunFinished


def read_entry(entry: StreamEntry, *, now: int | None = None) -> Delivery:
    """`now` in milliseconds: what was scraped, started or ended a day after it or later is refused."""
    if entry.deliveries > MAX_DELIVERIES:
        return refuse_entry(entry, "poison", f"was handed out {entry.deliveries} times and never finished")
    return read_body(f"{RAW_STREAM}/{entry.id}", entry.body, now=now)


def refuse_entry(entry: StreamEntry, code: str, message: str) -> Refused:
    """For the quarantine without being looked at."""
    return _unread(f"{RAW_STREAM}/{entry.id}", entry.body, code, message)


def refused_by_database(fault: str) -> FieldError:
    """The reason of an entry whose content the database does not take."""
    return FieldError(field="entry", code="refused_by_database", message=f"the database refused it: {fault}")


def read_body(entry_id: str, body: bytes, *, now: int | None = None) -> Delivery:
    try:
        message = parse_stream_message(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "entry"
        return _unread(entry_id, body, first["type"], f"{place}: {first['msg']}"[:500])
    if not _is_keepable(message):
        return _unread(entry_id, body, "out_of_range", "its run, source or number is beyond what can be kept")
    if isinstance(message, RawItem):
        return _read_item(entry_id, body, message, now)
    start = message.start if isinstance(message, RunFinished) else None
    for event in [message, start] if start else [message]:
        if not 1 <= event.schema_version <= SCHEMA_VERSION:
            problem = f"is of version {event.schema_version}, not {SCHEMA_VERSION}"
            return _unread(entry_id, body, "unknown_version", problem)
        when = event.started_at if isinstance(event, RunStarted) else event.finished_at
        if _is_of_the_future(to_millis(when), now):  # it would count as the source's last run until then
            return _unread(entry_id, body, _FUTURE.code, f"its time {_FUTURE.message}")
    return message


def read_prediction(entry_id: str, body: bytes) -> PredictionRecord | Refused:
    try:
        return PredictionRecord.model_validate_json(body)
    except ValidationError as error:
        reason = FieldError(field="entry", code="invalid_prediction", message=str(error)[:500])
        return Refused(entry_id, body, (reason,))


def _is_of_the_future(moment: int, now: int | None) -> bool:
    return now is not None and moment > now + _DAY


def _is_keepable(message: RawItem | RunStarted | RunFinished) -> bool:
    """PostgreSQL takes no NUL in a text, and neither engine a number beyond 64 bits."""
    names = (message.run_id, message.source)
    numbers: tuple[int, ...] = ()
    if isinstance(message, RawItem):
        numbers = (message.item_number,)
    elif isinstance(message, RunFinished):
        numbers = (message.scraped, message.pages, message.errors)
    return all(0 < len(name) <= MAX_KEY_LENGTH and "\0" not in name for name in names) and all(
        number <= _LARGEST_NUMBER for number in numbers
    )


def _read_item(entry_id: str, body: bytes, item: RawItem, now: int | None) -> Accepted | Refused:
    try:
        offer = clean_item(item)
        sighting = Sighting(to_millis(item.scraped_at), item.run_id, item.item_number)
        if _is_of_the_future(sighting.seen_at, now):
            raise InvalidItemError((_FUTURE,))
        return Accepted(entry_id, body, item, offer, offer_columns(offer), sighting)
    except InvalidItemError as rejected:
        reasons = rejected.reasons
    except Exception:
        logger.exception("cleaning failed", entry=entry_id, run_id=item.run_id, item_number=item.item_number)
        reasons = (FieldError(field="entry", code="internal_error", message="cleaning it failed, see the log"),)
    return Refused(entry_id, body, reasons, item.run_id, item.item_number, item.source, item.url, _source_key_of(item))


def _source_key_of(item: RawItem) -> str | None:
    """Whose offer it is can often be told of an item that is refused: then its offer was seen nevertheless."""
    try:
        return source_key(item.payload.get("key"), item.url, item.site)
    except Exception:  # noqa: BLE001 - Unclean as a rule; a fault in our rules is logged by `_read_item`
        return None


def _unread(entry_id: str, body: bytes, code: str, message: str) -> Refused:
    """Finds run and item number at the entry's beginning, where writers put them, without parsing the rest.

    So the run's accounting still adds up over an item that cannot be read.
    """
    reasons = (FieldError(field="entry", code=code, message=message),)
    kind, run_id, number, source = read_head(body)
    if not (kind == "item" and run_id and number and source):
        return Refused(entry_id, body, reasons)
    return Refused(entry_id, body, reasons, run_id, number, source)


def quarantined(one: Refused) -> NewQuarantineEntry:
    return NewQuarantineEntry(one.entry_id, one.run_id, one.source, one.url, one.body, one.reasons, one.source_key)

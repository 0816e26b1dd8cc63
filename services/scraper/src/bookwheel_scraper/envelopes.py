"""From what a spider yields to the message in the stream."""

import hashlib
import json
import re
from datetime import UTC, datetime
from typing import NamedTuple

from bookwheel_contracts.crawls import RawItem
from pydantic import JsonValue

Payload = dict[str, JsonValue]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class ScrapedBook(NamedTuple):
    """What a spider yields: the page's address and its payload under the names of `RAW_FIELDS`."""

    url: str
    payload: Payload


def fingerprint_of(payload: Payload) -> str:
    """SHA-256 hex of the canonical JSON: keys sorted, no spaces, UTF-8."""
    canonical = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _encodable(value: JsonValue) -> JsonValue:
    """Text without lone surrogates, which a page's JSON can hold but UTF-8 cannot."""
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_encodable(part) for part in value]
    return value


class Envelope:
    """Wraps the books of one run of one source."""

    def __init__(self, *, run_id: str, source: str, traceparent: str) -> None:
        self._run_id = run_id
        self._source = source
        self._traceparent = traceparent

    def wrap(self, book: ScrapedBook, *, number: int) -> bytes:
        """The RawItem as JSON."""
        payload = {name: _encodable(value) for name, value in book.payload.items()}
        item = RawItem(
            run_id=self._run_id,
            item_number=number,
            source=self._source,
            url=book.url,
            scraped_at=datetime.now(UTC),
            payload=payload,
            fingerprint=fingerprint_of(payload),
            traceparent=self._traceparent,
        )
        return item.model_dump_json().encode()

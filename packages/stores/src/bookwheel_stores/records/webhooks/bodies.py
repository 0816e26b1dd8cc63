"""What a delivery says, byte for byte the same in every attempt. Pure."""

from collections.abc import Sequence
from datetime import datetime

import orjson
from bookwheel_contracts import WebhookEventType
from bookwheel_contracts.model import format_time

from bookwheel_stores.records.feed.entries import FeedEntry


def event_body(kind: WebhookEventType, moment: datetime, data: bytes) -> bytes:
    """The JSON of a `WebhookEvent` around that of its data."""
    head = orjson.dumps({"type": kind.value, "timestamp": format_time(moment)})
    return b'%b,"data":%b}' % (head[:-1], data)


def changes_payload(entries: Sequence[FeedEntry], *, after: int, through: int) -> bytes:
    """The JSON of a `ChangesPayload`."""
    changes = b",".join(entry.to_json() for entry in entries)
    return b'{"after":%d,"through":%d,"changes":[%b]}' % (after, through, changes)

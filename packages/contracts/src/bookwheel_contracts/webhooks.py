"""Webhooks: who is told, of what, and what a delivery says."""

from enum import StrEnum

from bookwheel_contracts.books import CarriedChange
from bookwheel_contracts.crawls import CrawlRun
from bookwheel_contracts.model import Contract, Timestamp


class WebhookEventType(StrEnum):
    CATALOG_CHANGED = "catalog.changed"
    RUN_FINISHED = "run.finished"
    PING = "ping"


class WebhookState(StrEnum):
    """`disabled`: a delivery was given up, or the receiver is gone. Nothing is sent until it is enabled again."""

    ACTIVE = "active"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """`pending`: not tried yet, or to be tried again; `dead`: given up, with the reason."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Webhook(Contract):
    """`position`: the feed's sequence up to which deliveries were made of changes. `owner` is a user's id."""

    id: str
    owner: str
    url: str
    events: tuple[WebhookEventType, ...]
    filters: tuple[str, ...]
    state: WebhookState
    reason: str | None
    position: int
    created_at: Timestamp


class WebhookDelivery(Contract):
    """`id` is the event's: the same in every attempt. `status` and `reason` are of the latest attempt.

    Of changes, a delivery holds those behind the sequence `after`, up to and with `through`, that pass the filters.
    """

    id: str
    type: WebhookEventType
    state: DeliveryState
    attempts: int
    status: int | None
    reason: str | None
    after: int | None
    through: int | None
    run_id: str | None
    created_at: Timestamp
    next_attempt_at: Timestamp | None
    ended_at: Timestamp | None


class ChangesPayload(Contract):
    """Changes behind the sequence `after`, up to and with `through`; between them only such as the filters keep out."""

    after: int
    through: int
    changes: tuple[CarriedChange, ...]


class RunPayload(Contract):
    """A crawl that has ended and whose changes are searchable, as it was when this was first said."""

    run: CrawlRun


class PingPayload(Contract):
    webhook_id: str


class WebhookEvent(Contract):
    """The body of a delivery. Its id is in the header `webhook-id`, and `timestamp` is the same in every attempt."""

    type: WebhookEventType
    timestamp: Timestamp
    data: ChangesPayload | RunPayload | PingPayload

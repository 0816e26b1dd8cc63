"""Webhooks, their deliveries and the bodies of these."""

from enum import StrEnum

from bookwheel_contracts.books import CarriedChange
from bookwheel_contracts.crawls import CrawlRun
from bookwheel_contracts.model import Contract, Timestamp


class WebhookEventType(StrEnum):
    CATALOG_CHANGED = "catalog.changed"
    RUN_FINISHED = "run.finished"
    PING = "ping"


class WebhookState(StrEnum):
    """`disabled`: a delivery was given up, or the receiver answered 410. Nothing is sent until it is enabled again."""

    ACTIVE = "active"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """`pending`: waits for its next attempt; `dead`: given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Webhook(Contract):
    """`position`: the sequence of the last change that is part of a delivery. `owner` is a user's id."""

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
    """`id` is the same in every attempt. `status` and `reason` are of the latest attempt.

    A delivery of changes contains those after the sequence `after`, up to `through`, that pass the filters.
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
    """All changes after the sequence `after`, up to `through`, that pass the filters."""

    after: int
    through: int
    changes: tuple[CarriedChange, ...]


class RunPayload(Contract):
    """A crawl at the time when it had ended and its changes were searchable."""

    run: CrawlRun


class PingPayload(Contract):
    webhook_id: str


class WebhookEvent(Contract):
    """The body of a delivery. Its id is in the header `webhook-id`, and `timestamp` is the same in every attempt."""

    type: WebhookEventType
    timestamp: Timestamp
    data: ChangesPayload | RunPayload | PingPayload

"""Webhooks, their deliveries and the bodies of the deliveries."""

from enum import StrEnum

from bookwheel_contracts.books import ChangeWithBook
from bookwheel_contracts.crawls import CrawlRun
from bookwheel_contracts.model import Contract, Timestamp


class WebhookEventType(StrEnum):
    CATALOG_CHANGED = "catalog.changed"
    RUN_FINISHED = "run.finished"
    PING = "ping"


class WebhookState(StrEnum):
    """`disabled`: a delivery failed permanently or was answered with 410. No events are sent until enabled."""

    ACTIVE = "active"
    DISABLED = "disabled"


class DeliveryState(StrEnum):
    """`pending`: the next attempt is scheduled. `dead`: failed permanently."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Webhook(Contract):
    """`position` is the sequence of the last change in a delivery. `owner` is the id of a user."""

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
    """`id` is the same in every attempt. `status` and `reason` belong to the latest attempt.

    A delivery of changes contains the changes after the sequence `after`, up to `through`, that match the filters.
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
    """All changes after the sequence `after`, up to `through`, that match the filters."""

    after: int
    through: int
    changes: tuple[ChangeWithBook, ...]


class RunPayload(Contract):
    """An ended crawl. All its changes are searchable."""

    run: CrawlRun


class PingPayload(Contract):
    webhook_id: str


class WebhookEvent(Contract):
    """The body of a delivery. The header `webhook-id` has its id. `timestamp` is the same in every attempt."""

    type: WebhookEventType
    timestamp: Timestamp
    data: ChangesPayload | RunPayload | PingPayload

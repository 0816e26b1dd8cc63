"""API models of webhooks."""

from typing import Annotated, Literal

from bookwheel_contracts import Webhook, WebhookDelivery, WebhookEventType
from bookwheel_contracts.model import Contract
from pydantic import Field


class CreateWebhook(Contract):
    url: str = Field(
        min_length=1, max_length=2000, description="A public HTTPS URL with the port 443, 80 or 1024 and above."
    )
    events: tuple[Literal[WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED], ...] = Field(
        default=(WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED), min_length=1, max_length=10
    )
    filters: tuple[Annotated[str, Field(max_length=300)], ...] = Field(
        default=(), max_length=100, description="Filters of changes: `name:value`, like `filter` of `GET /changes`."
    )
    after: int | None = Field(
        default=None,
        ge=0,
        le=1 << 62,
        description="Deliver changes after this sequence. Default: only new changes.",
    )


class CreatedWebhook(Webhook):
    """A created webhook. `secret` signs its deliveries and is not shown again."""

    secret: str


class WebhookList(Contract):
    items: tuple[Webhook, ...]


class DeliveryList(Contract):
    items: tuple[WebhookDelivery, ...]
    next: str | None


class EnableWebhook(Contract):
    """Enables a webhook. `missed` selects where its deliveries continue.

    `deliver`: at the failed delivery. `skip_failed`: after the failed delivery. `skip_all`: at the next new change.
    """

    missed: Literal["deliver", "skip_failed", "skip_all"] = "deliver"

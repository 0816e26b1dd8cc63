"""API models and query models of webhooks."""

from typing import Annotated, Literal

from bookwheel_contracts import Webhook, WebhookDelivery, WebhookEventType
from bookwheel_contracts.model import Contract
from bookwheel_runtime.query_models import QueryModel
from pydantic import Field

from bookwheel_catalog.search.cursors import MAX_CURSOR_LENGTH


class CreateWebhook(Contract):
    url: str = Field(
        min_length=1, max_length=2000, description="https, of the internet, port 443, 80 or one from 1024 on."
    )
    events: tuple[Literal[WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED], ...] = Field(
        default=(WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED), min_length=1, max_length=10
    )
    filters: tuple[Annotated[str, Field(max_length=300)], ...] = Field(
        default=(), max_length=100, description="Of changes: `name:value` as `filter` of `GET /changes`."
    )
    after: int | None = Field(
        default=None,
        ge=0,
        le=1 << 62,
        description="Deliver changes after this sequence; by default from now on.",
    )


class CreatedWebhook(Webhook):
    """`secret` signs the deliveries. It is shown once."""

    secret: str


class WebhookList(Contract):
    items: tuple[Webhook, ...]


class DeliveryList(Contract):
    items: tuple[WebhookDelivery, ...]
    next: str | None


class EnableWebhook(Contract):
    """Where a disabled webhook continues. `deliver`: with the delivery that failed, then with later changes.
    `skip_failed`: without the delivery that failed. `skip_all`: with changes from now on."""

    missed: Literal["deliver", "skip_failed", "skip_all"] = "deliver"


class DeliveryListParameters(QueryModel):
    cursor: str | None = Field(default=None, max_length=MAX_CURSOR_LENGTH, description="`next` of the page before.")
    limit: int = Field(default=20, ge=1, le=100)

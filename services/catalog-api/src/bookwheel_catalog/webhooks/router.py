"""Routes of webhooks: signed POST requests for changes and for finished crawls."""

import asyncio
from typing import Annotated

from bookwheel_contracts import Webhook, WebhookDelivery
from fastapi import APIRouter, Body, Path, Query, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, ReaderClaims
from bookwheel_catalog.search.parameters import CursorParameters
from bookwheel_catalog.webhooks.models import (
    CreatedWebhook,
    CreateWebhook,
    DeliveryList,
    EnableWebhook,
    WebhookList,
)

router = APIRouter(prefix=f"{API_PREFIX}/webhooks", tags=["webhooks"])
WebhookId = Annotated[str, Path(min_length=1, max_length=64)]


@router.post("", status_code=201)
async def create_webhook(
    response: Response, dependencies: Injected, claims: ReaderClaims, body: CreateWebhook
) -> CreatedWebhook:
    """Creates a webhook: its URL receives each change of the catalog and each finished crawl.

    Deliveries are signed according to Standard Webhooks. Only this response contains `secret`.
    """
    webhook = await asyncio.to_thread(dependencies.webhooks.create, body, claims)
    response.headers["Location"] = f"{API_PREFIX}/webhooks/{webhook.id}"
    response.headers["Cache-Control"] = "no-store"
    return webhook


@router.get("")
async def list_webhooks(dependencies: Injected, claims: ReaderClaims) -> WebhookList:
    """Lists your webhooks, or all webhooks with the scope `admin`."""
    return WebhookList(items=tuple(await asyncio.to_thread(dependencies.webhooks.list, claims)))


@router.get("/{webhook_id}")
async def get_webhook(dependencies: Injected, claims: ReaderClaims, webhook_id: WebhookId) -> Webhook:
    """Returns a webhook and, if it is disabled, the reason."""
    return await asyncio.to_thread(dependencies.webhooks.get, webhook_id, claims)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(dependencies: Injected, claims: ReaderClaims, webhook_id: WebhookId) -> None:
    """Deletes a webhook and its deliveries. A delivery in progress may still arrive."""
    await asyncio.to_thread(dependencies.webhooks.delete, webhook_id, claims)


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    dependencies: Injected,
    claims: ReaderClaims,
    webhook_id: WebhookId,
    parameters: Annotated[CursorParameters, Query()],
) -> DeliveryList:
    """Lists deliveries of the last 30 days, newest first, with the result of the latest attempt."""
    return await asyncio.to_thread(
        dependencies.webhooks.list_deliveries,
        webhook_id,
        claims,
        cursor=parameters.cursor,
        limit=parameters.limit,
    )


@router.post("/{webhook_id}/ping", status_code=202)
async def ping_webhook(dependencies: Injected, claims: ReaderClaims, webhook_id: WebhookId) -> WebhookDelivery:
    """Sends a test delivery once, before all pending deliveries and also to a disabled webhook.

    `GET /webhooks/{webhook_id}/deliveries` shows the result.
    """
    return await asyncio.to_thread(dependencies.webhooks.ping, webhook_id, claims)


@router.post("/{webhook_id}/enable")
async def enable_webhook(
    dependencies: Injected,
    claims: ReaderClaims,
    webhook_id: WebhookId,
    body: Annotated[EnableWebhook | None, Body()] = None,
) -> Webhook:
    """Enables a disabled webhook. If the webhook is already active, its pending deliveries are retried immediately."""
    missed_delivery_policy = (body or EnableWebhook()).missed
    return await asyncio.to_thread(
        dependencies.webhooks.enable, webhook_id, claims, missed_delivery_policy=missed_delivery_policy
    )

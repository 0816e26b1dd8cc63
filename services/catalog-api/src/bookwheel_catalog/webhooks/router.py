"""Webhooks: signed POST requests on changes and on finished crawls."""

import asyncio
from typing import Annotated

from bookwheel_contracts import Webhook, WebhookDelivery
from fastapi import APIRouter, Body, Path, Query, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.dependencies import Injected, Reader
from bookwheel_catalog.webhooks.models import (
    CreatedWebhook,
    CreateWebhook,
    DeliveryList,
    DeliveryListParameters,
    EnableWebhook,
    WebhookList,
)

router = APIRouter(prefix=f"{API_PREFIX}/webhooks", tags=["webhooks"])
WebhookId = Annotated[str, Path(min_length=1, max_length=64)]


@router.post("", status_code=201)
async def create_webhook(
    response: Response, dependencies: Injected, claims: Reader, body: CreateWebhook
) -> CreatedWebhook:
    """Calls a URL of yours with each change of the catalog and with each finished crawl.

    Deliveries are signed as Standard Webhooks prescribes. `secret` is shown only here.
    """
    created = await asyncio.to_thread(dependencies.webhooks.create, body, claims)
    response.headers["Location"] = f"{API_PREFIX}/webhooks/{created.id}"
    response.headers["Cache-Control"] = "no-store"
    return created


@router.get("")
async def list_webhooks(dependencies: Injected, claims: Reader) -> WebhookList:
    """Your webhooks; with the scope `admin` those of everybody."""
    return WebhookList(items=tuple(await asyncio.to_thread(dependencies.webhooks.list, claims)))


@router.get("/{webhook_id}")
async def get_webhook(dependencies: Injected, claims: Reader, webhook_id: WebhookId) -> Webhook:
    """One webhook, and why it is disabled if it is."""
    return await asyncio.to_thread(dependencies.webhooks.get, webhook_id, claims)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(dependencies: Injected, claims: Reader, webhook_id: WebhookId) -> None:
    """Deletes a webhook and its deliveries. A delivery that is being sent may still arrive."""
    await asyncio.to_thread(dependencies.webhooks.delete, webhook_id, claims)


@router.get("/{webhook_id}/deliveries")
async def list_deliveries(
    dependencies: Injected,
    claims: Reader,
    webhook_id: WebhookId,
    parameters: Annotated[DeliveryListParameters, Query()],
) -> DeliveryList:
    """Past and pending deliveries of the last 30 days, newest first, with the result of the latest attempt."""
    return await asyncio.to_thread(
        dependencies.webhooks.list_deliveries,
        webhook_id,
        claims,
        cursor=parameters.cursor,
        limit=parameters.limit,
    )


@router.post("/{webhook_id}/ping", status_code=202)
async def ping_webhook(dependencies: Injected, claims: Reader, webhook_id: WebhookId) -> WebhookDelivery:
    """Sends a test delivery once, before all pending ones and also to a disabled webhook. See `deliveries` for its
    result."""
    return await asyncio.to_thread(dependencies.webhooks.ping, webhook_id, claims)


@router.post("/{webhook_id}/enable")
async def enable_webhook(
    dependencies: Injected, claims: Reader, webhook_id: WebhookId, body: Annotated[EnableWebhook | None, Body()] = None
) -> Webhook:
    """Enables a disabled webhook. An active one tries its pending deliveries at once."""
    missed = (body or EnableWebhook()).missed
    return await asyncio.to_thread(dependencies.webhooks.enable, webhook_id, claims, missed=missed)

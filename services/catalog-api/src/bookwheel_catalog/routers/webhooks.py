"""Webhooks: told of changes and of crawls that ended, by a signed POST."""

import asyncio
from typing import Annotated

from bookwheel_contracts import Webhook, WebhookDelivery
from fastapi import APIRouter, Body, Path, Query, Response

from bookwheel_catalog import API_PREFIX
from bookwheel_catalog.cursors import MAX_CURSOR_LENGTH
from bookwheel_catalog.dependencies import PartsOf, Reader
from bookwheel_catalog.models import CreatedWebhook, DeliveryList, WebhookList, WebhookOrder, WebhookStart

router = APIRouter(prefix=f"{API_PREFIX}/webhooks", tags=["webhooks"])
WebhookId = Annotated[str, Path(min_length=1, max_length=64)]


@router.post("", status_code=201)
async def create_webhook(response: Response, parts: PartsOf, claims: Reader, order: WebhookOrder) -> CreatedWebhook:
    """Has a URL of yours called with each change of the catalog, and with each crawl that has ended.

    Deliveries are signed as Standard Webhooks has it; `secret` is shown here and never again.
    """
    made = await asyncio.to_thread(parts.webhooks.create, order, claims)
    response.headers["Location"] = f"/api/v1/webhooks/{made.id}"
    response.headers["Cache-Control"] = "no-store"
    return made


@router.get("")
async def webhooks(parts: PartsOf, claims: Reader) -> WebhookList:
    """Your webhooks; with the scope `admin` those of everybody."""
    return WebhookList(items=tuple(await asyncio.to_thread(parts.webhooks.all, claims)))


@router.get("/{webhook_id}")
async def webhook(parts: PartsOf, claims: Reader, webhook_id: WebhookId) -> Webhook:
    """One webhook, and why it is disabled if it is."""
    return await asyncio.to_thread(parts.webhooks.get, webhook_id, claims)


@router.delete("/{webhook_id}", status_code=204)
async def delete_webhook(parts: PartsOf, claims: Reader, webhook_id: WebhookId) -> None:
    """Ends a webhook and forgets its deliveries. One that is under way may still arrive."""
    await asyncio.to_thread(parts.webhooks.delete, webhook_id, claims)


@router.get("/{webhook_id}/deliveries")
async def deliveries(
    parts: PartsOf,
    claims: Reader,
    webhook_id: WebhookId,
    cursor: Annotated[str | None, Query(max_length=MAX_CURSOR_LENGTH, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> DeliveryList:
    """What was and is to be delivered, newest first: with what came of the latest attempt, for 30 days."""
    return await asyncio.to_thread(parts.webhooks.deliveries, webhook_id, claims, cursor=cursor, limit=limit)


@router.post("/{webhook_id}/ping", status_code=202)
async def ping(parts: PartsOf, claims: Reader, webhook_id: WebhookId) -> WebhookDelivery:
    """Sends a test delivery, once, past all that waits and also to a disabled webhook. See `deliveries` for its end."""
    return await asyncio.to_thread(parts.webhooks.ping, webhook_id, claims)


@router.post("/{webhook_id}/enable")
async def enable(
    parts: PartsOf, claims: Reader, webhook_id: WebhookId, start: Annotated[WebhookStart | None, Body()] = None
) -> Webhook:
    """Goes on with a webhook that was disabled; of an active one, tries what waits at once."""
    missed = (start or WebhookStart()).missed
    return await asyncio.to_thread(parts.webhooks.enable, webhook_id, claims, missed=missed)

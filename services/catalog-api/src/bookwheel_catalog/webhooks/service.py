"""Manages webhooks. Users see only their own webhooks, admins see all webhooks."""

import secrets
import time
from base64 import b64encode
from dataclasses import dataclass

from bookwheel_contracts import Claims, Scope, Webhook, WebhookDelivery
from bookwheel_contracts.problems import ConflictError, InvalidCursorError, NotFoundError
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_runtime.webhook_urls import parse_webhook_url
from bookwheel_stores.records import FeedReader, MissedDeliveryPolicy, NewWebhook, TooManyWebhooksError, WebhookStore

from bookwheel_catalog.changes.filters import parse_change_filter
from bookwheel_catalog.changes.pages import LATEST, parse_position
from bookwheel_catalog.search.cursors import decode_cursor, encode_cursor
from bookwheel_catalog.webhooks.models import CreatedWebhook, CreateWebhook, DeliveryList

MAX_WEBHOOKS_PER_USER = 10
_SECRET_BYTES = 32


def _now_millis() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class WebhookService:
    """`allow_private` permits webhook URLs with private addresses and without TLS."""

    store: WebhookStore
    feed: FeedReader
    allow_private: bool

    def create(self, body: CreateWebhook, claims: Claims) -> CreatedWebhook:
        """Creates a webhook.

        Raises InvalidParameterError or InvalidCursorError for an invalid body, ConflictError at the user's limit.
        """
        try:
            parse_webhook_url(body.url, private=self.allow_private)
        except ValueError as error:
            raise invalid_field("url", "invalid_url", str(error)) from error
        parse_change_filter(body.filters, "filters")
        secret = f"whsec_{b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
        new_webhook = NewWebhook(
            owner=claims.sub,
            url=body.url,
            secret=secret,
            events=tuple(dict.fromkeys(body.events)),
            filters=tuple(dict.fromkeys(body.filters)),
            after=None if body.after is None else parse_position(self.feed, str(body.after), default=LATEST),
        )
        try:
            webhook = self.store.create(new_webhook, limit=MAX_WEBHOOKS_PER_USER, now=_now_millis())
        except TooManyWebhooksError:
            raise ConflictError(
                f"You already have {MAX_WEBHOOKS_PER_USER} webhooks, the maximum. Delete one first."
            ) from None
        return CreatedWebhook(**dict(webhook), secret=secret)

    def list(self, claims: Claims) -> list[Webhook]:
        return self.store.list_all(owner=None if claims.allows(Scope.ADMIN) else claims.sub)

    def get(self, webhook_id: str, claims: Claims) -> Webhook:
        """Returns a webhook. Raises NotFoundError also for another user's webhook, to hide that it exists."""
        webhook = self.store.get(webhook_id)
        if webhook is None or not (webhook.owner == claims.sub or claims.allows(Scope.ADMIN)):
            raise NotFoundError(f"You have no webhook {webhook_id}.")
        return webhook

    def delete(self, webhook_id: str, claims: Claims) -> None:
        self.store.delete(self.get(webhook_id, claims).id)

    def ping(self, webhook_id: str, claims: Claims) -> WebhookDelivery:
        delivery = self.store.create_ping(self.get(webhook_id, claims).id, now=_now_millis())
        if delivery is None:  # deleted concurrently
            raise NotFoundError(f"You have no webhook {webhook_id}.")
        return delivery

    def enable(self, webhook_id: str, claims: Claims, *, missed_delivery_policy: MissedDeliveryPolicy) -> Webhook:
        self.store.enable(
            self.get(webhook_id, claims).id, missed_delivery_policy=missed_delivery_policy, now=_now_millis()
        )
        return self.get(webhook_id, claims)

    def list_deliveries(self, webhook_id: str, claims: Claims, *, cursor: str | None, limit: int) -> DeliveryList:
        """Returns deliveries, newest first. Raises NotFoundError or InvalidCursorError."""
        webhook = self.get(webhook_id, claims)
        before_number = None
        if cursor is not None:
            cursor_webhook_id, before_number = decode_cursor(cursor, min_parts=2, max_parts=2)
            is_valid_number = type(before_number) is int and 0 <= before_number < 1 << 62
            if cursor_webhook_id != webhook.id or not is_valid_number:
                raise InvalidCursorError("`cursor` is invalid: it belongs to another webhook.")
        numbered_deliveries = self.store.list_deliveries(webhook.id, before=before_number, limit=limit + 1)
        has_more = len(numbered_deliveries) > limit
        next_cursor = encode_cursor([webhook.id, numbered_deliveries[limit - 1][0]]) if has_more else None
        return DeliveryList(items=tuple(delivery for _, delivery in numbered_deliveries[:limit]), next=next_cursor)

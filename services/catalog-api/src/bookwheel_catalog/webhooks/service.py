"""Webhooks of the callers. Each sees its own, an admin those of everybody."""

import secrets
import time
from base64 import b64encode
from dataclasses import dataclass

from bookwheel_contracts import Claims, Scope, Webhook, WebhookDelivery
from bookwheel_contracts.problems import ConflictError, InvalidCursorError, NotFoundError
from bookwheel_runtime.endpoints import parse_endpoint
from bookwheel_runtime.problem_responses import invalid_field
from bookwheel_stores.records import FeedReader, MissedDeliveries, NewWebhook, TooManyWebhooksError, WebhookStore

from bookwheel_catalog.changes.filters import parse_change_filter
from bookwheel_catalog.changes.pages import LATEST, parse_position
from bookwheel_catalog.search.cursors import decode_cursor, encode_cursor
from bookwheel_catalog.webhooks.models import CreatedWebhook, CreateWebhook, DeliveryList

MAX_WEBHOOKS_OF_USER = 10
_SECRET_BYTES = 32


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class WebhookService:
    """`allow_private` is whether webhooks may go to private addresses and without TLS."""

    store: WebhookStore
    feed: FeedReader
    allow_private: bool

    def create(self, body: CreateWebhook, claims: Claims) -> CreatedWebhook:
        """Raises InvalidParameterError, InvalidCursorError, or ConflictError for a user at the limit."""
        try:
            parse_endpoint(body.url, private=self.allow_private)
        except ValueError as error:
            raise invalid_field("url", "invalid_url", str(error)) from error
        parse_change_filter(body.filters, "filters")
        secret = f"whsec_{b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
        new = NewWebhook(
            owner=claims.sub,
            url=body.url,
            secret=secret,
            events=tuple(dict.fromkeys(body.events)),
            filters=tuple(dict.fromkeys(body.filters)),
            after=None if body.after is None else parse_position(self.feed, str(body.after), default=LATEST),
        )
        try:
            webhook = self.store.create(new, limit=MAX_WEBHOOKS_OF_USER, now=_now())
        except TooManyWebhooksError:
            raise ConflictError(f"You have {MAX_WEBHOOKS_OF_USER} webhooks: delete one of them first.") from None
        return CreatedWebhook(**dict(webhook), secret=secret)

    def list(self, claims: Claims) -> list[Webhook]:
        return self.store.list_all(owner=None if claims.allows(Scope.ADMIN) else claims.sub)

    def get(self, webhook_id: str, claims: Claims) -> Webhook:
        """Raises NotFoundError, also for another user's webhook: its existence is not disclosed."""
        webhook = self.store.get(webhook_id)
        if webhook is None or not (webhook.owner == claims.sub or claims.allows(Scope.ADMIN)):
            raise NotFoundError(f"You have no webhook {webhook_id}.")
        return webhook

    def delete(self, webhook_id: str, claims: Claims) -> None:
        self.store.delete(self.get(webhook_id, claims).id)

    def ping(self, webhook_id: str, claims: Claims) -> WebhookDelivery:
        delivery = self.store.create_ping(self.get(webhook_id, claims).id, now=_now())
        if delivery is None:  # deleted a moment ago
            raise NotFoundError(f"You have no webhook {webhook_id}.")
        return delivery

    def enable(self, webhook_id: str, claims: Claims, *, missed: MissedDeliveries) -> Webhook:
        self.store.enable(self.get(webhook_id, claims).id, missed=missed, now=_now())
        return self.get(webhook_id, claims)

    def list_deliveries(self, webhook_id: str, claims: Claims, *, cursor: str | None, limit: int) -> DeliveryList:
        """Newest first. Raises NotFoundError or InvalidCursorError."""
        webhook = self.get(webhook_id, claims)
        before = None
        if cursor is not None:
            owner_id, before = decode_cursor(cursor, least=2, most=2)
            if owner_id != webhook.id or type(before) is not int or not 0 <= before < 1 << 62:
                raise InvalidCursorError("`cursor` is invalid: it belongs to another webhook.")
        numbered = self.store.list_deliveries(webhook.id, before=before, limit=limit + 1)
        has_more = len(numbered) > limit
        next_cursor = encode_cursor([webhook.id, numbered[limit - 1][0]]) if has_more else None
        return DeliveryList(items=tuple(delivery for _, delivery in numbered[:limit]), next=next_cursor)

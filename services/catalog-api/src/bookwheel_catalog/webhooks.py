"""Webhooks of the callers: each their own, an admin's view of all."""

import secrets
import time
from base64 import b64encode
from dataclasses import dataclass

from bookwheel_contracts import Claims, Scope, Webhook, WebhookDelivery
from bookwheel_contracts.problems import ConflictError, InvalidCursorError, NotFoundError
from bookwheel_runtime.endpoints import parse_endpoint
from bookwheel_stores.records import FeedReader, MissedDeliveries, NewWebhook, TooManyWebhooksError, WebhookStore

from bookwheel_catalog.changes import place_in
from bookwheel_catalog.cursors import decode, encode
from bookwheel_catalog.models import CreatedWebhook, DeliveryList, WebhookOrder
from bookwheel_catalog.parameters import read_change_filter, reject

WEBHOOKS_OF_A_USER = 10
_SECRET_BYTES = 32


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Webhooks:
    store: WebhookStore
    feed: FeedReader
    private: bool

    def create(self, order: WebhookOrder, claims: Claims) -> CreatedWebhook:
        """Raises InvalidParameter, InvalidCursor, or Conflict for a user who has as many as one may have."""
        try:
            parse_endpoint(order.url, private=self.private)
        except ValueError as error:
            reject("url", str(error), code="invalid_url")
        read_change_filter(order.filters, "filters")
        secret = f"whsec_{b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"
        new = NewWebhook(
            owner=claims.sub,
            url=order.url,
            secret=secret,
            events=tuple(dict.fromkeys(order.events)),
            filters=tuple(dict.fromkeys(order.filters)),
            after=None if order.after is None else place_in(self.feed, str(order.after), default="latest"),
        )
        try:
            made = self.store.create(new, limit=WEBHOOKS_OF_A_USER, now=_now())
        except TooManyWebhooksError:
            raise ConflictError(f"You have {WEBHOOKS_OF_A_USER} webhooks; delete one of them first.") from None
        return CreatedWebhook(**dict(made), secret=secret)

    def all(self, claims: Claims) -> list[Webhook]:
        return self.store.list_all(owner=None if claims.allows(Scope.ADMIN) else claims.sub)

    def get(self, webhook_id: str, claims: Claims) -> Webhook:
        """Raises NotFound, also for another user's: whether that exists is nobody else's business."""
        found = self.store.get(webhook_id)
        if found is None or not (found.owner == claims.sub or claims.allows(Scope.ADMIN)):
            raise NotFoundError(f"You have no webhook {webhook_id}.")
        return found

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

    def deliveries(self, webhook_id: str, claims: Claims, *, cursor: str | None, limit: int) -> DeliveryList:
        """Newest first. Raises NotFound or InvalidCursor."""
        owned = self.get(webhook_id, claims)
        before = None
        if cursor is not None:
            of_webhook, before = decode(cursor, least=2, most=2)
            if of_webhook != owned.id or type(before) is not int or not 0 <= before < 1 << 62:
                raise InvalidCursorError("The cursor belongs to another webhook.")
        found = self.store.list_deliveries(owned.id, before=before, limit=limit + 1)
        more = len(found) > limit
        following = encode([owned.id, found[limit - 1][0]]) if more else None
        return DeliveryList(items=tuple(delivery for _, delivery in found[:limit]), next=following)

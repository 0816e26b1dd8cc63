"""Reads and writes webhooks for their owners."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson
from bookwheel_contracts import (
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookEventType,
    WebhookState,
)
from bookwheel_contracts.model import format_time
from bookwheel_contracts.webhooks import PingPayload
from sqlalchemy import Connection, Engine, Row, delete, func, insert, select, update

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import feed_head
from bookwheel_stores.records.tables import webhook, webhook_delivery
from bookwheel_stores.records.values import from_millis

MissedDeliveryPolicy = Literal["deliver", "skip_failed", "skip_all"]


class TooManyWebhooksError(Exception):
    """The owner has the maximum number of webhooks."""


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """`after` is the sequence after which changes are delivered; None for the end of the feed."""

    owner: str
    url: str
    secret: str
    events: tuple[WebhookEventType, ...]
    filters: tuple[str, ...]
    after: int | None


class WebhookStore:
    """Stores webhooks and deliveries. Times are milliseconds since 1970."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, new: NewWebhook, *, limit: int, now: int) -> Webhook:
        """Creates a webhook. Raises TooManyWebhooksError if the owner has `limit` webhooks."""
        with self._engine.begin() as connection:
            owned = select(func.count()).select_from(webhook).where(webhook.c.owner == new.owner)
            if (connection.scalar(owned) or 0) >= limit:
                raise TooManyWebhooksError
            row = {
                "webhook_id": f"wh_{secrets.token_hex(12)}",
                "owner": new.owner,
                "url": new.url,
                "secret": new.secret,
                "wants_changes": WebhookEventType.CATALOG_CHANGED in new.events,
                "wants_runs": WebhookEventType.RUN_FINISHED in new.events,
                "filters": orjson.dumps(new.filters).decode(),
                "state": WebhookState.ACTIVE.value,
                "sequence": feed_head(connection) if new.after is None else new.after,
                "claimed_until": 0,
                "created_at": now,
            }
            connection.execute(insert(webhook), row)
            created = connection.execute(select(webhook).where(webhook.c.webhook_id == row["webhook_id"])).one()
        return webhook_from_row(created)

    def list_all(self, *, owner: str | None) -> list[Webhook]:
        """Returns the webhooks of `owner`, or of all owners if it is None, oldest first."""
        query = select(webhook).order_by(webhook.c.number)
        if owner is not None:
            query = query.where(webhook.c.owner == owner)
        with read_connection(self._engine) as connection:
            return [webhook_from_row(row) for row in connection.execute(query)]

    def get(self, webhook_id: str) -> Webhook | None:
        with read_connection(self._engine) as connection:
            row = connection.execute(select(webhook).where(webhook.c.webhook_id == webhook_id)).first()
        return webhook_from_row(row) if row else None

    def delete(self, webhook_id: str) -> None:
        """Deletes a webhook and its deliveries. A running attempt is not cancelled."""
        with self._engine.begin() as connection:
            number = _number(webhook_id)
            connection.execute(delete(webhook_delivery).where(webhook_delivery.c.webhook_number == number))
            connection.execute(delete(webhook).where(webhook.c.webhook_id == webhook_id))

    def list_deliveries(self, webhook_id: str, *, before: int | None, limit: int) -> list[tuple[int, WebhookDelivery]]:
        """Returns deliveries with numbers below `before`, newest first, each with its number."""
        query = (
            select(webhook_delivery)
            .where(webhook_delivery.c.webhook_number == _number(webhook_id))
            .order_by(webhook_delivery.c.number.desc())
            .limit(limit)
        )
        if before is not None:
            query = query.where(webhook_delivery.c.number < before)
        with read_connection(self._engine) as connection:
            return [(row.number, delivery_from_row(row)) for row in connection.execute(query)]

    def create_ping(self, webhook_id: str, *, now: int) -> WebhookDelivery | None:
        """Creates a test delivery, or returns the pending test delivery; None if the webhook was deleted."""
        with self._engine.begin() as connection:
            number = connection.scalar(select(_number(webhook_id)))
            if number is None:
                return None
            row = _pending_ping(connection, number)
            if row is None:
                payload = PingPayload(webhook_id=webhook_id).model_dump_json().encode()
                new = new_delivery(number, WebhookEventType.PING, now=now)
                body = event_body(WebhookEventType.PING, from_millis(now), payload)
                connection.execute(insert(webhook_delivery), {**new, "body": body.decode()})
                row = _pending_ping(connection, number)
        return None if row is None else delivery_from_row(row)

    def enable(self, webhook_id: str, *, missed_delivery_policy: MissedDeliveryPolicy, now: int) -> None:
        """Enables a disabled webhook.

        `deliver` retries the failed delivery, `skip_failed` skips it, and `skip_all` also skips all changes
        up to now. If the webhook is already active, its next attempt is due immediately.
        """
        number = _number(webhook_id)
        belongs_to_webhook = webhook_delivery.c.webhook_number == number
        is_pending = webhook_delivery.c.state == DeliveryState.PENDING.value
        is_ping = webhook_delivery.c.type == WebhookEventType.PING.value
        pending = update(webhook_delivery).where(belongs_to_webhook, is_pending, ~is_ping)
        retry = {"state": DeliveryState.PENDING.value, "next_attempt_at": now, "tried_since": now, "ended_at": None}
        with self._engine.begin() as connection:
            columns: dict[str, Any] = {"state": WebhookState.ACTIVE.value, "reason": None}
            if missed_delivery_policy == "skip_all":
                columns["sequence"] = feed_head(connection)
                skipped = {"state": DeliveryState.DEAD.value, "reason": "skipped by its owner", "ended_at": now}
                connection.execute(pending.values(skipped))
            else:
                connection.execute(pending.values(retry))
            if missed_delivery_policy == "deliver":
                last = select(func.max(webhook_delivery.c.number)).where(belongs_to_webhook, ~is_ping).scalar_subquery()
                is_dead = webhook_delivery.c.state == DeliveryState.DEAD.value
                connection.execute(
                    update(webhook_delivery).where(webhook_delivery.c.number == last, is_dead).values(retry)
                )
            connection.execute(update(webhook).where(webhook.c.webhook_id == webhook_id).values(columns))


def event_body(event_type: WebhookEventType, moment: datetime, data: bytes) -> bytes:
    """Renders a `WebhookEvent` with the JSON of its data. The bytes are the same in every attempt."""
    head = orjson.dumps({"type": event_type.value, "timestamp": format_time(moment)})
    return b'%b,"data":%b}' % (head[:-1], data)


def new_delivery(webhook_number: int, event_type: WebhookEventType, *, now: int) -> dict[str, Any]:
    """Returns the columns that all new deliveries have."""
    return {
        "delivery_id": f"evt_{secrets.token_hex(16)}",
        "webhook_number": webhook_number,
        "type": event_type.value,
        "state": DeliveryState.PENDING.value,
        "attempts": 0,
        "created_at": now,
        "tried_since": now,
        "next_attempt_at": now,
    }


def _number(webhook_id: str) -> Any:
    return select(webhook.c.number).where(webhook.c.webhook_id == webhook_id).scalar_subquery()


def _pending_ping(connection: Connection, webhook_number: int) -> Row[Any] | None:
    return connection.execute(
        select(webhook_delivery).where(
            webhook_delivery.c.webhook_number == webhook_number,
            webhook_delivery.c.type == WebhookEventType.PING.value,
            webhook_delivery.c.state == DeliveryState.PENDING.value,
        )
    ).first()


def _events(row: Row[Any]) -> Sequence[WebhookEventType]:
    subscriptions = {
        WebhookEventType.CATALOG_CHANGED: row.wants_changes,
        WebhookEventType.RUN_FINISHED: row.wants_runs,
    }
    return [event_type for event_type, is_subscribed in subscriptions.items() if is_subscribed]


def webhook_from_row(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.webhook_id,
        owner=row.owner,
        url=row.url,
        events=tuple(_events(row)),
        filters=tuple(orjson.loads(row.filters)),
        state=WebhookState(row.state),
        reason=row.reason,
        position=row.sequence,
        created_at=from_millis(row.created_at),
    )


def delivery_from_row(row: Row[Any]) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.delivery_id,
        type=WebhookEventType(row.type),
        state=DeliveryState(row.state),
        attempts=row.attempts,
        status=row.status,
        reason=row.reason,
        after=row.after,
        through=row.through,
        run_id=row.run_id,
        created_at=from_millis(row.created_at),
        next_attempt_at=None if row.next_attempt_at is None else from_millis(row.next_attempt_at),
        ended_at=None if row.ended_at is None else from_millis(row.ended_at),
    )

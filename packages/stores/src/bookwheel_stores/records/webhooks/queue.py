"""What is to be delivered to webhooks next: a projection of the change feed with a cursor for each webhook.

A delivery is noted before it is tried for the first time, in the transaction that moves the webhook's cursor: so no
kill loses one, and every attempt carries the same id.
"""

from dataclasses import dataclass
from typing import Any

from bookwheel_contracts import DeliveryState, WebhookEventType, WebhookState
from sqlalchemy import Engine, Row, delete, exists, insert, select, update

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import feed_head
from bookwheel_stores.records.tables import crawl_run, webhook, webhook_delivery
from bookwheel_stores.records.webhooks.planning import RUN_DAYS_MS, DeliveryPlanner, is_open, is_ping, is_untold_run

_KEPT_MS = 30 * 86_400_000  # longer than runs are looked for that were not told yet


@dataclass(frozen=True, slots=True)
class DeliveryTask:
    """One attempt to be made. `tried_since` is what the delivery's age counts from, in milliseconds."""

    number: int
    webhook_number: int
    claimed_until: int
    delivery_id: str
    kind: WebhookEventType
    url: str
    secret: str
    body: bytes
    attempts: int
    tried_since: int

    @property
    def is_ping(self) -> bool:
        return self.kind is WebhookEventType.PING


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of an attempt. `status` is None without a response; `disables_webhook`: the receiver wants no more."""

    delivered: bool
    status: int | None
    reason: str | None
    next_attempt_at: int | None = None
    disables_webhook: bool = False


class WebhookQueue:
    """Times are milliseconds."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._plans = DeliveryPlanner(engine)

    def list_due(self, *, now: int, limit: int) -> list[tuple[int, bool]]:
        """Webhooks that nobody works on and for which there may be something to do: numbers, and whether the last
        attempt failed."""
        of_webhook = webhook_delivery.c.webhook_number == webhook.c.number
        is_timely = webhook_delivery.c.next_attempt_at <= now
        open_delivery = exists().where(of_webhook, is_open, ~is_ping)
        has_failed = exists().where(of_webhook, is_open, ~is_ping, webhook_delivery.c.attempts > 0)
        with read_connection(self._engine) as connection:
            more_changes = webhook.c.wants_changes & (webhook.c.sequence < feed_head(connection))
            more_runs = webhook.c.wants_runs & exists().where(crawl_run.c.touched_at > now - RUN_DAYS_MS, is_untold_run)
            something = exists().where(of_webhook, is_open, is_timely) | (~open_delivery & (more_changes | more_runs))
            a_ping = exists().where(of_webhook, is_open, is_ping, is_timely)
            query = (
                select(webhook.c.number, has_failed.label("has_failed"))
                .where(webhook.c.claimed_until <= now)
                .where(((webhook.c.state == WebhookState.ACTIVE.value) & something) | a_ping)
                .order_by(webhook.c.number)
                .limit(limit)
            )
            return [(row.number, bool(row.has_failed)) for row in connection.execute(query)]

    def claim(self, webhook_number: int, *, now: int, claim_ms: int) -> DeliveryTask | None:
        """Claims the webhook and its next attempt; None where there is none, or another worker was faster."""
        found = self._plans.next(webhook_number, now=now)
        if found is None:
            return None
        hook, plan = found
        free = (webhook.c.number == hook.number) & (webhook.c.claimed_until <= now)
        unmoved = (webhook.c.sequence == hook.sequence) & (webhook.c.state == hook.state)
        claim = {"claimed_until": now + claim_ms if plan.delivery_id else 0, "sequence": plan.sequence}
        wanted = webhook_delivery.c.delivery_id == plan.delivery_id
        with self._engine.begin() as connection:
            if connection.execute(update(webhook).where(free, unmoved).values(claim)).rowcount != 1:
                return None
            if plan.new is not None:
                connection.execute(insert(webhook_delivery), plan.new)
            delivery = connection.execute(select(webhook_delivery).where(wanted, is_open)).first()
            if delivery is None and plan.delivery_id:  # another worker has ended it since
                connection.execute(update(webhook).where(webhook.c.number == hook.number).values(claimed_until=0))
        return None if delivery is None else self._work(hook, delivery, claim["claimed_until"])

    def _work(self, hook: Row[Any], delivery: Row[Any], claimed_until: int) -> DeliveryTask:
        return DeliveryTask(
            number=delivery.number,
            webhook_number=hook.number,
            claimed_until=claimed_until,
            delivery_id=delivery.delivery_id,
            kind=WebhookEventType(delivery.type),
            url=hook.url,
            secret=hook.secret,
            body=self._plans.body(hook, delivery),
            attempts=delivery.attempts,
            tried_since=delivery.tried_since,
        )

    def record_result(self, work: DeliveryTask, result: DeliveryResult, *, now: int) -> None:
        """Notes what an attempt came to, and lets the webhook go."""
        columns: dict[str, Any] = {
            "attempts": webhook_delivery.c.attempts + 1,
            "status": result.status,
            "reason": result.reason,
            "next_attempt_at": result.next_attempt_at,
        }
        is_dead = not result.delivered and result.next_attempt_at is None
        if result.delivered or is_dead:
            columns["state"] = (DeliveryState.DEAD if is_dead else DeliveryState.DELIVERED).value
            columns["ended_at"] = now
        mine = (webhook.c.number == work.webhook_number) & (webhook.c.claimed_until == work.claimed_until)
        with self._engine.begin() as connection:
            if is_dead and (result.disables_webhook or not work.is_ping):
                ended = {"state": WebhookState.DISABLED.value, "reason": result.reason}
                connection.execute(update(webhook).where(webhook.c.number == work.webhook_number).values(ended))
            connection.execute(update(webhook).where(mine).values(claimed_until=0))
            # who was too slow for its claim has no say over what another worker delivered meanwhile
            still = webhook_delivery.c.state == DeliveryState.PENDING.value
            connection.execute(
                update(webhook_delivery).where(webhook_delivery.c.number == work.number, still).values(columns)
            )

    def purge_ended(self, *, now: int) -> int:
        """Drops deliveries that ended 30 days ago; returns how many."""
        with self._engine.begin() as connection:
            return connection.execute(
                delete(webhook_delivery).where(webhook_delivery.c.ended_at < now - _KEPT_MS)
            ).rowcount

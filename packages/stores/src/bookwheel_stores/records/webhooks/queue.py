"""The queue of webhook deliveries: a projection of the change feed with one cursor per webhook.

A delivery is stored before its first attempt, in the transaction that advances the cursor of the webhook. No delivery
is lost if the process is killed, and every attempt has the same id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from bookwheel_contracts import DeliveryState, WebhookEventType, WebhookState
from bookwheel_contracts.webhooks import RunPayload
from sqlalchemy import Connection, Engine, Row, and_, delete, exists, insert, or_, select, update

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_feed import feed_head
from bookwheel_stores.records.feed.change_filter import ChangeFilter
from bookwheel_stores.records.feed.entries import FeedEntry, FeedReader
from bookwheel_stores.records.runs.store import FINAL_STATES, run_from_row, select_runs
from bookwheel_stores.records.tables import crawl_run, webhook, webhook_delivery
from bookwheel_stores.records.values import from_millis
from bookwheel_stores.records.webhooks.store import event_body, new_delivery

CHANGES_PER_DELIVERY = 100
BYTES_PER_DELIVERY = 256 << 10
_MAX_RUN_AGE_MS = 14 * 86_400_000
"""A run is delivered up to this time after its last activity."""
_RETENTION_MS = 30 * 86_400_000
"""Longer than the maximum age of runs, because the stored delivery prevents a second delivery."""
_SCAN_LIMIT = 10_000
"""The maximum number of changes that one plan compares with the filters."""
_PAGE = 500

_is_pending = webhook_delivery.c.state == DeliveryState.PENDING.value
_is_ping = webhook_delivery.c.type == WebhookEventType.PING.value
_belongs_to_run = and_(
    webhook_delivery.c.webhook_number == webhook.c.number, webhook_delivery.c.run_id == crawl_run.c.run_id
)
_is_undelivered_run = and_(
    crawl_run.c.state.in_([state.value for state in FINAL_STATES]),
    or_(crawl_run.c.finished_at >= webhook.c.created_at, crawl_run.c.touched_at >= webhook.c.created_at),
    ~exists().where(_belongs_to_run),
)


@dataclass(frozen=True, slots=True)
class DeliveryTask:
    """One attempt of a delivery. `tried_since` is the start of the current series of attempts, in milliseconds."""

    number: int
    webhook_number: int
    claimed_until: int
    delivery_id: str
    event_type: WebhookEventType
    url: str
    secret: str
    body: bytes
    attempts: int
    tried_since: int

    @property
    def is_ping(self) -> bool:
        return self.event_type is WebhookEventType.PING


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The result of an attempt. `status` is None without a response. `disables_webhook`: the receiver unsubscribed."""

    delivered: bool
    status: int | None
    reason: str | None
    next_attempt_at: int | None = None
    disables_webhook: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """The next delivery. `new` is its row if it must be inserted. Without `delivery_id`, only the cursor advances."""

    sequence: int
    delivery_id: str | None = None
    new: dict[str, Any] | None = None


class WebhookQueue:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._planner = _DeliveryPlanner(engine)

    def list_due(self, *, now: int, limit: int) -> list[tuple[int, bool]]:
        """Returns the numbers of unclaimed webhooks that may have a delivery, and whether their last attempt failed."""
        belongs_to_webhook = webhook_delivery.c.webhook_number == webhook.c.number
        is_due = webhook_delivery.c.next_attempt_at <= now
        has_pending = exists().where(belongs_to_webhook, _is_pending, ~_is_ping)
        has_due = exists().where(belongs_to_webhook, _is_pending, is_due)
        has_failed = exists().where(belongs_to_webhook, _is_pending, ~_is_ping, webhook_delivery.c.attempts > 0)
        has_due_ping = exists().where(belongs_to_webhook, _is_pending, _is_ping, is_due)
        is_recent_run = crawl_run.c.touched_at > now - _MAX_RUN_AGE_MS
        with read_connection(self._engine) as connection:
            has_changes = webhook.c.wants_changes & (webhook.c.sequence < feed_head(connection))
            has_runs = webhook.c.wants_runs & exists().where(is_recent_run, _is_undelivered_run)
            is_active = webhook.c.state == WebhookState.ACTIVE.value
            query = (
                select(webhook.c.number, has_failed.label("has_failed"))
                .where(webhook.c.claimed_until <= now)
                .where((is_active & (has_due | (~has_pending & (has_changes | has_runs)))) | has_due_ping)
                .order_by(webhook.c.number)
                .limit(limit)
            )
            return [(row.number, bool(row.has_failed)) for row in connection.execute(query)]

    def claim(self, webhook_number: int, *, now: int, claim_ms: int) -> DeliveryTask | None:
        """Claims the webhook and returns its next attempt; None if there is no attempt or the webhook is claimed."""
        planned = self._planner.plan(webhook_number, now=now)
        if planned is None:
            return None
        hook, plan = planned
        is_unclaimed = (webhook.c.number == hook.number) & (webhook.c.claimed_until <= now)
        is_unchanged = (webhook.c.sequence == hook.sequence) & (webhook.c.state == hook.state)
        claim = {"claimed_until": now + claim_ms if plan.delivery_id else 0, "sequence": plan.sequence}
        is_planned = webhook_delivery.c.delivery_id == plan.delivery_id
        with self._engine.begin() as connection:
            if connection.execute(update(webhook).where(is_unclaimed, is_unchanged).values(claim)).rowcount != 1:
                return None
            if plan.new is not None:
                connection.execute(insert(webhook_delivery), plan.new)
            delivery = connection.execute(select(webhook_delivery).where(is_planned, _is_pending)).first()
            if delivery is None and plan.delivery_id:  # another worker has finished the delivery
                connection.execute(update(webhook).where(webhook.c.number == hook.number).values(claimed_until=0))
        return None if delivery is None else self._task(hook, delivery, claim["claimed_until"])

    def _task(self, hook: Row[Any], delivery: Row[Any], claimed_until: int) -> DeliveryTask:
        return DeliveryTask(
            number=delivery.number,
            webhook_number=hook.number,
            claimed_until=claimed_until,
            delivery_id=delivery.delivery_id,
            event_type=WebhookEventType(delivery.type),
            url=hook.url,
            secret=hook.secret,
            body=self._planner.render_body(hook, delivery),
            attempts=delivery.attempts,
            tried_since=delivery.tried_since,
        )

    def record_result(self, task: DeliveryTask, result: DeliveryResult, *, now: int) -> None:
        """Stores the result of an attempt and releases the claim."""
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
        is_own_claim = (webhook.c.number == task.webhook_number) & (webhook.c.claimed_until == task.claimed_until)
        with self._engine.begin() as connection:
            if is_dead and (result.disables_webhook or not task.is_ping):
                disabled = {"state": WebhookState.DISABLED.value, "reason": result.reason}
                connection.execute(update(webhook).where(webhook.c.number == task.webhook_number).values(disabled))
            connection.execute(update(webhook).where(is_own_claim).values(claimed_until=0))
            # A worker with an expired claim must not overwrite the result of another worker.
            connection.execute(
                update(webhook_delivery).where(webhook_delivery.c.number == task.number, _is_pending).values(columns)
            )

    def purge_ended(self, *, now: int) -> int:
        """Deletes deliveries that ended more than 30 days ago. Returns their number."""
        with self._engine.begin() as connection:
            return connection.execute(
                delete(webhook_delivery).where(webhook_delivery.c.ended_at < now - _RETENTION_MS)
            ).rowcount


class _DeliveryPlanner:
    """Selects the next delivery of a webhook, and renders its body."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._feed = FeedReader(engine)

    def plan(self, webhook_number: int, *, now: int) -> tuple[Row[Any], _Plan] | None:
        """Returns the row of the webhook and its next delivery; None without a delivery.

        Deliveries are sent one at a time and in order. Only pings overtake other deliveries.
        """
        with read_connection(self._engine) as connection:
            hook = connection.execute(select(webhook).where(webhook.c.number == webhook_number)).first()
            if hook is None:
                return None
            pending_deliveries = self._pending_deliveries(connection, hook)
            is_active = hook.state == WebhookState.ACTIVE.value
            due = [
                row
                for row in pending_deliveries
                if row.next_attempt_at <= now and (is_active or row.type == WebhookEventType.PING.value)
            ]
            if due:
                return hook, _Plan(hook.sequence, due[0].delivery_id)
            if not is_active or any(row.type != WebhookEventType.PING.value for row in pending_deliveries):
                return None
            run = self._undelivered_run(connection, hook, now)
        # A run is delivered after all of its changes.
        if run is not None and (not hook.wants_changes or hook.sequence >= run.last_change):
            return hook, _insert_plan(hook.sequence, _run_delivery(hook, run, now))
        return self._plan_changes(hook, now)

    def render_body(self, hook: Row[Any], delivery: Row[Any]) -> bytes:
        """Returns the stored body, or renders the changes from the feed."""
        if delivery.body is not None:
            return str(delivery.body).encode()
        change_filter = ChangeFilter.parse(orjson.loads(hook.filters))
        matches: list[FeedEntry] = []
        sequence = delivery.after
        while sequence < delivery.through:
            page = self._feed.read(after=sequence, limit=_PAGE)
            entries = [entry for entry in page if entry.sequence <= delivery.through]
            if not entries:
                break
            matches += [entry for entry in entries if change_filter.matches(entry)]
            sequence = entries[-1].sequence
        data = changes_payload(matches, after=delivery.after, through=delivery.through)
        return event_body(WebhookEventType.CATALOG_CHANGED, from_millis(delivery.created_at), data)

    def _pending_deliveries(self, connection: Connection, hook: Row[Any]) -> list[Row[Any]]:
        """Returns pending deliveries: first pings, then other deliveries in their order."""
        query = select(webhook_delivery).where(webhook_delivery.c.webhook_number == hook.number, _is_pending)
        return list(connection.execute(query.order_by(_is_ping.desc(), webhook_delivery.c.number)))

    def _undelivered_run(self, connection: Connection, hook: Row[Any], now: int) -> Row[Any] | None:
        if not hook.wants_runs:
            return None
        query = (
            select_runs.join(webhook, webhook.c.number == hook.number)
            .where(crawl_run.c.touched_at > now - _MAX_RUN_AGE_MS, _is_undelivered_run)
            .order_by(crawl_run.c.last_change, crawl_run.c.number)
        )
        return next((row for row in connection.execute(query) if run_from_row(row).searchable), None)

    def _plan_changes(self, hook: Row[Any], now: int) -> tuple[Row[Any], _Plan] | None:
        if not hook.wants_changes:
            return None
        through, has_matches = self._scan_changes(hook)
        if has_matches:
            new = new_delivery(hook.number, WebhookEventType.CATALOG_CHANGED, now=now)
            return hook, _insert_plan(through, new | {"after": hook.sequence, "through": through})
        return (hook, _Plan(through)) if through > hook.sequence else None

    def _scan_changes(self, hook: Row[Any]) -> tuple[int, bool]:
        """Returns the last sequence that fits into one delivery, and whether a change up to it matches the filters."""
        change_filter = ChangeFilter.parse(orjson.loads(hook.filters))
        sequence, matches, size, scanned = hook.sequence, 0, 0, 0
        while scanned < _SCAN_LIMIT:
            entries = self._feed.read(after=sequence, limit=_PAGE)
            for entry in entries:
                if change_filter.matches(entry):
                    size += entry.size
                    if matches == CHANGES_PER_DELIVERY or (matches and size > BYTES_PER_DELIVERY):
                        return sequence, True
                    matches += 1
                sequence = entry.sequence
            scanned += len(entries)
            if len(entries) < _PAGE:
                break
        return sequence, matches > 0


def changes_payload(entries: Sequence[FeedEntry], *, after: int, through: int) -> bytes:
    """Renders the JSON of a `ChangesPayload`."""
    changes = b",".join(entry.to_json() for entry in entries)
    return b'{"after":%d,"through":%d,"changes":[%b]}' % (after, through, changes)


def _insert_plan(sequence: int, new: dict[str, Any]) -> _Plan:
    return _Plan(sequence, new["delivery_id"], new)


def _run_delivery(hook: Row[Any], run: Row[Any], now: int) -> dict[str, Any]:
    payload = RunPayload(run=run_from_row(run)).model_dump_json().encode()
    body = event_body(WebhookEventType.RUN_FINISHED, from_millis(now), payload).decode()
    return new_delivery(hook.number, WebhookEventType.RUN_FINISHED, now=now) | {"run_id": run.run_id, "body": body}

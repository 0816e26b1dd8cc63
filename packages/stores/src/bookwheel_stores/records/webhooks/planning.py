"""Which delivery a webhook gets next, and what it says."""

from dataclasses import dataclass
from typing import Any

import orjson
from bookwheel_contracts import DeliveryState, WebhookEventType, WebhookState
from bookwheel_contracts.webhooks import RunPayload
from sqlalchemy import Connection, Engine, Row, and_, exists, or_, select

from bookwheel_stores.records.database.connection import read_connection
from bookwheel_stores.records.feed.change_filter import ChangeFilter
from bookwheel_stores.records.feed.entries import FeedEntry, FeedReader
from bookwheel_stores.records.runs.store import FINAL_STATES, run_from_row, select_runs
from bookwheel_stores.records.tables import crawl_run, webhook, webhook_delivery
from bookwheel_stores.records.values import from_millis
from bookwheel_stores.records.webhooks.bodies import changes_payload, event_body
from bookwheel_stores.records.webhooks.store import new_delivery

CHANGES_OF_A_DELIVERY = 100
BYTES_OF_A_DELIVERY = 256 << 10
RUN_DAYS_MS = 14 * 86_400_000
"""Runs are told up to so long after they ended."""
_LOOKED_THROUGH = 10_000
"""Changes that one step looks through for those that the filters let through."""
_PAGE = 500

is_open = webhook_delivery.c.state == DeliveryState.PENDING.value
is_ping = webhook_delivery.c.type == WebhookEventType.PING.value
_is_told = and_(webhook_delivery.c.webhook_number == webhook.c.number, webhook_delivery.c.run_id == crawl_run.c.run_id)
is_untold_run = and_(
    crawl_run.c.state.in_([state.value for state in FINAL_STATES]),
    or_(crawl_run.c.finished_at >= webhook.c.created_at, crawl_run.c.touched_at >= webhook.c.created_at),
    ~exists().where(_is_told),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """`delivery_id` is to be tried, after `new` was inserted; none: the webhook only moves on to `sequence`."""

    sequence: int
    delivery_id: str | None = None
    new: dict[str, Any] | None = None


class DeliveryPlanner:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._feed = FeedReader(engine)

    def next(self, webhook_number: int, *, now: int) -> tuple[Row[Any], Plan] | None:
        """The webhook's row and what comes next for it; None where nothing does.

        One delivery at a time, so they arrive in order: only pings pass those that wait.
        """
        with read_connection(self._engine) as connection:
            hook = connection.execute(select(webhook).where(webhook.c.number == webhook_number)).first()
            if hook is None:
                return None
            waiting = self._waiting(connection, hook)
            is_active = hook.state == WebhookState.ACTIVE.value
            timely = [
                row
                for row in waiting
                if row.next_attempt_at <= now and (is_active or row.type == WebhookEventType.PING.value)
            ]
            if timely:
                return hook, Plan(hook.sequence, timely[0].delivery_id)
            if not is_active or any(row.type != WebhookEventType.PING.value for row in waiting):
                return None
            run = self._untold_run(connection, hook, now)
        # a run is told once all of its changes are
        if run is not None and (not hook.wants_changes or hook.sequence >= run.last_change):
            return hook, _planned(hook.sequence, _run_delivery(hook, run, now))
        return self._next_changes(hook, now)

    def body(self, hook: Row[Any], delivery: Row[Any]) -> bytes:
        """What a delivery says: what is kept of it, or the changes as the feed carries them."""
        if delivery.body is not None:
            return str(delivery.body).encode()
        chosen = ChangeFilter.parse(orjson.loads(hook.filters))
        told: list[FeedEntry] = []
        place = delivery.after
        while place < delivery.through:
            entries = [
                entry for entry in self._feed.read(after=place, limit=_PAGE) if entry.sequence <= delivery.through
            ]
            if not entries:
                break
            told += [entry for entry in entries if chosen.matches(entry)]
            place = entries[-1].sequence
        data = changes_payload(told, after=delivery.after, through=delivery.through)
        return event_body(WebhookEventType.CATALOG_CHANGED, from_millis(delivery.created_at), data)

    def _waiting(self, connection: Connection, hook: Row[Any]) -> list[Row[Any]]:
        """Deliveries that have not ended: pings before all others, and those in their order."""
        query = select(webhook_delivery).where(webhook_delivery.c.webhook_number == hook.number, is_open)
        return list(connection.execute(query.order_by(is_ping.desc(), webhook_delivery.c.number)))

    def _untold_run(self, connection: Connection, hook: Row[Any], now: int) -> Row[Any] | None:
        if not hook.wants_runs:
            return None
        query = (
            select_runs.join(webhook, webhook.c.number == hook.number)
            .where(crawl_run.c.touched_at > now - RUN_DAYS_MS, is_untold_run)
            .order_by(crawl_run.c.last_change, crawl_run.c.number)
        )
        return next((row for row in connection.execute(query) if run_from_row(row).searchable), None)

    def _next_changes(self, hook: Row[Any], now: int) -> tuple[Row[Any], Plan] | None:
        if not hook.wants_changes:
            return None
        through, found = self._changes(hook)
        if found:
            new = new_delivery(hook.number, WebhookEventType.CATALOG_CHANGED, now=now)
            return hook, _planned(through, new | {"after": hook.sequence, "through": through})
        return (hook, Plan(through)) if through > hook.sequence else None

    def _changes(self, hook: Row[Any]) -> tuple[int, bool]:
        """Up to where the feed goes into one delivery, and whether anything there passes the webhook's filters."""
        chosen = ChangeFilter.parse(orjson.loads(hook.filters))
        place, found, size, looked_through = hook.sequence, 0, 0, 0
        while looked_through < _LOOKED_THROUGH:
            entries = self._feed.read(after=place, limit=_PAGE)
            for entry in entries:
                if chosen.matches(entry):
                    size += entry.size
                    if found == CHANGES_OF_A_DELIVERY or (found and size > BYTES_OF_A_DELIVERY):
                        return place, True
                    found += 1
                place = entry.sequence
            looked_through += len(entries)
            if len(entries) < _PAGE:
                break
        return place, found > 0


def _planned(sequence: int, new: dict[str, Any]) -> Plan:
    return Plan(sequence, new["delivery_id"], new)


def _run_delivery(hook: Row[Any], run: Row[Any], now: int) -> dict[str, Any]:
    told = RunPayload(run=run_from_row(run)).model_dump_json().encode()
    body = event_body(WebhookEventType.RUN_FINISHED, from_millis(now), told).decode()
    return new_delivery(hook.number, WebhookEventType.RUN_FINISHED, now=now) | {"run_id": run.run_id, "body": body}

"""Webhooks are delivered to a real receiver: signed, in order, at least once, and only to public addresses."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import httpcore
import pytest
from bookwheel_contracts import (
    DeliveryState,
    RunFinished,
    RunState,
    Webhook,
    WebhookDelivery,
    WebhookEvent,
    WebhookEventType,
    WebhookState,
)
from bookwheel_processor.webhooks import dispatch
from bookwheel_processor.webhooks.connections import AddressRejectedError, PublicNetworkBackend
from bookwheel_processor.webhooks.dispatch import WebhookDispatcher
from bookwheel_processor.webhooks.sending import RetryPolicy, WebhookSender, pause_seconds
from bookwheel_stores.records import SEARCH_PROJECTION, ChangeFeed, NewWebhook, WebhookQueue, WebhookStore
from bookwheel_stores.records.runs.approvals import RunApprovals
from bookwheel_stores.records.runs.ledger import RunLedger
from bookwheel_testing.feed_writer import FeedWriter
from bookwheel_testing.servers import free_port, wait_until
from bookwheel_testing.webhook_receiver import Behaviour, WebhookReceiver, is_signed, running_webhook_receiver
from sqlalchemy import Engine

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ALL = (WebhookEventType.CATALOG_CHANGED, WebhookEventType.RUN_FINISHED)


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with running_webhook_receiver() as receiver:
        yield receiver


@pytest.fixture
def feed(engine: Engine) -> FeedWriter:
    return FeedWriter(engine)


class Hooks:
    """Creates webhooks and runs delivery jobs."""

    def __init__(self, engine: Engine) -> None:
        self.store = WebhookStore(engine)
        self.queue = WebhookQueue(engine)
        self.private = True
        self.policy = RetryPolicy(timeout=1.0, first_pause=0.02, max_age=60.0)

    def create(self, url: str, *, filters: tuple[str, ...] = (), events: Any = ALL, after: int | None = 0) -> Webhook:
        new = NewWebhook("user:1", url, SECRET, events, filters, after)
        return self.store.create(new, limit=100, now=time.time_ns() // 1_000_000)

    def run_job(self) -> int:
        async def run() -> int:
            sender = WebhookSender(self.policy, allow_private=self.private, connections=32)
            return await WebhookDispatcher(self.queue, sender, attempt_seconds=self.policy.timeout).run()

        return asyncio.run(run())

    def run_until(self, condition: Callable[[], bool], *, seconds: float = 20) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "condition not met in time"
            self.run_job()
            time.sleep(0.01)

    def deliveries(self, hook: Webhook) -> list[WebhookDelivery]:
        return [delivery for _, delivery in self.store.list_deliveries(hook.id, before=None, limit=100)][::-1]

    def state(self, hook: Webhook) -> WebhookState:
        webhook = self.store.get(hook.id)
        assert webhook is not None
        return webhook.state


@pytest.fixture
def hooks(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    monkeypatch.setattr(dispatch, "JOB_SECONDS", 1.5)
    monkeypatch.setattr(dispatch, "_POLL_SECONDS", 0.05)
    return Hooks(engine)


def keys(*numbers: int) -> list[str]:
    return [str(number) for number in numbers]


def test_changes_arrive_in_order_and_signed(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    feed.add("before")
    hook = hooks.create(f"{receiver.url}/hook?a=b", after=None)
    feed.add(*keys(*range(250)))
    hooks.run_until(lambda: len(receiver.delivered("/hook?a=b")) == 3)
    received = receiver.delivered("/hook?a=b")
    assert all(is_signed(request, SECRET) for request in received)
    assert not any(is_signed(request, "whsec_" + "A" * 32) for request in received)
    events = [WebhookEvent.model_validate_json(request.body) for request in received]
    assert [len(request.event["data"]["changes"]) for request in received] == [100, 100, 50]
    assert receiver.sequences("/hook?a=b") == list(range(2, 252))
    assert [(request.event["data"]["after"], request.event["data"]["through"]) for request in received] == [
        (1, 101),
        (101, 201),
        (201, 251),
    ]
    assert received[0].event["data"]["changes"][0]["book"]["title"] == "Book 0"
    assert received[0].headers["content-type"] == "application/json"
    assert [event.timestamp for event in events] == [delivery.created_at for delivery in hooks.deliveries(hook)]
    assert [delivery.id for delivery in hooks.deliveries(hook)] == [request.id for request in received]
    assert {delivery.state for delivery in hooks.deliveries(hook)} == {DeliveryState.DELIVERED}
    assert hooks.run_job() == 0


def test_a_webhook_gets_only_its_events_and_changes(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    hooks.create(f"{receiver.url}/removals", filters=("kind:removed",))
    hooks.create(f"{receiver.url}/runs", events=(WebhookEventType.RUN_FINISHED,))
    other = hooks.create(f"{receiver.url}/other", filters=("source:other", "kind:added"))
    feed.add(*keys(*range(600)))
    feed.add("x", source="other")
    feed.remove("demo:3")
    hooks.run_until(lambda: len(receiver.delivered("/removals")) == len(receiver.delivered("/other")) == 1)
    assert receiver.sequences("/removals") == [602]
    assert receiver.sequences("/other") == [601]
    assert receiver.at("/runs") == []
    feed.add("more")
    hooks.run_job()
    webhook = hooks.store.get(other.id)
    assert webhook is not None
    assert webhook.position == 603, "filtered changes move its position, too"


def end_run(engine: Engine, run_id: str, *, change: int) -> None:
    now = datetime.now(UTC)
    with engine.begin() as connection:
        ledger = RunLedger(connection)
        number = ledger.get_or_create({run_id: "demo"}, now=round(now.timestamp() * 1000))[run_id]
        ledger.add_verdicts(number, {}, last_change=change, now=round(now.timestamp() * 1000))
        ledger.finish(
            RunFinished(
                run_id=run_id,
                source="demo",
                finished_at=now + timedelta(seconds=1),
                state=RunState.COMPLETE,
                reason=None,
                scraped=0,
                pages=7,
                errors=0,
                traceparent="",
            )
        )
        RunApprovals(connection).update(number, state=RunState.COMPLETE.value)


def test_a_finished_run_is_sent_once_after_its_changes_when_it_is_searchable(
    engine: Engine, hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    end_run(engine, "before", change=0)
    time.sleep(1.2)  # its end is a second in the future, but must be before the creation of the webhook
    hooks.create(f"{receiver.url}/hook")
    hooks.create(f"{receiver.url}/runs", events=(WebhookEventType.RUN_FINISHED,))
    head = feed.add(*keys(*range(150)))
    end_run(engine, "run-1", change=head)
    hooks.run_until(lambda: len(receiver.delivered("/hook")) == 2)
    assert receiver.at("/runs") == [], "its changes are not searchable yet"
    ChangeFeed(engine).advance({SEARCH_PROJECTION: head})
    hooks.run_until(lambda: len(receiver.delivered("/hook")) == 3 and len(receiver.delivered("/runs")) == 1)
    assert [request.event["type"] for request in receiver.delivered("/hook")] == [
        "catalog.changed",
        "catalog.changed",
        "run.finished",
    ]
    [request] = receiver.delivered("/runs")
    run = WebhookEvent.model_validate_json(request.body).data.model_dump()["run"]
    assert (run["id"], run["state"], run["pages"], run["searchable"]) == ("run-1", "complete", 7, True)
    assert hooks.run_job() == 0


def test_a_failed_delivery_is_retried_with_the_same_id_and_body_before_later_deliveries(
    hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    receiver.behaviours["/hook"] = Behaviour(statuses=[500, 404, 503])
    hook = hooks.create(f"{receiver.url}/hook")
    feed.add(*keys(*range(100)))
    hooks.run_job()
    feed.add(*keys(*range(100, 150)))
    hooks.run_until(lambda: len(receiver.delivered("/hook")) == 2)
    received = receiver.at("/hook")
    assert [request.status for request in received] == [500, 404, 503, 200, 200]
    assert len({(request.id, request.body) for request in received[:4]}) == 1
    assert all(is_signed(request, SECRET) for request in received)
    assert receiver.sequences("/hook") == list(range(1, 151))
    first, second = hooks.deliveries(hook)
    assert (first.attempts, first.status, first.reason, second.attempts) == (4, 200, None, 1)


def test_retry_after_delays_the_next_attempt(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    receiver.behaviours["/hook"] = Behaviour(statuses=[429], headers={"Retry-After": "1"})
    hooks.create(f"{receiver.url}/hook")
    feed.add("1")
    hooks.run_until(lambda: len(receiver.delivered("/hook")) == 1)
    failed, delivered = receiver.at("/hook")
    assert delivered.received_at - failed.received_at >= 0.95


def test_slow_receivers_and_long_responses_do_not_delay_other_receivers(
    hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "JOB_SECONDS", 60.0)
    hooks.policy = RetryPolicy(timeout=60.0, first_pause=0.02, max_age=60.0)
    receiver.behaviours["/huge"] = Behaviour(body=200 << 20)
    receiver.behaviours["/slow"] = Behaviour(seconds=0.5)
    hanging = []
    for number in range(20):
        receiver.behaviours[f"/hang-{number}"] = Behaviour(seconds=60)
        hanging.append(hooks.create(f"{receiver.url}/hang-{number}"))
    for name in ("huge", "slow", "quick"):
        hooks.create(f"{receiver.url}/{name}")
    feed.add("1")
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(hooks.run_job)
        for last in (1, 2, 3):
            for name in ("huge", "slow", "quick"):
                wait_until(
                    lambda name=name, last=last: receiver.sequences(f"/{name}")[-1:] == [last],  # type: ignore[misc]
                    seconds=40,
                    what=f"{last} at {name}",
                )
            feed.add(str(last + 1))
        reasons = [hooks.deliveries(hook)[0].reason for hook in hanging]
        receiver.stopping.set()
        job.result(60)
    assert reasons == [None] * 20, "all were in their first attempt"


def test_a_delivery_without_a_response_in_time_fails(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    hooks.policy = RetryPolicy(timeout=0.3, first_pause=60.0, max_age=600.0)
    receiver.behaviours["/hook"] = Behaviour(seconds=60)
    hook = hooks.create(f"{receiver.url}/hook")
    refusing = hooks.create(f"http://127.0.0.1:{free_port()}/hook")
    unknown = hooks.create("http://nowhere.invalid:9000/hook")
    feed.add("1")
    hooks.run_job()
    [delivery] = hooks.deliveries(hook)
    assert (delivery.state, delivery.attempts, delivery.status) == (DeliveryState.PENDING, 1, None)
    assert delivery.reason == "no response within 0.3 s (timeout)"
    assert str(hooks.deliveries(refusing)[0].reason).startswith(("ConnectError", "no response"))
    assert str(hooks.deliveries(unknown)[0].reason).startswith(("ConnectError: the host is not found", "no response"))


def test_a_redirect_is_a_failure_and_is_not_followed(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    receiver.behaviours["/hook"] = Behaviour(statuses=[302], headers={"Location": f"{receiver.url}/inside"})
    hook = hooks.create(f"{receiver.url}/hook")
    feed.add("1")
    hooks.policy = RetryPolicy(timeout=1.0, first_pause=1.0, max_age=60.0)
    hooks.run_job()
    assert str(hooks.deliveries(hook)[0].reason).endswith(": redirects are not followed")
    hooks.run_until(lambda: len(receiver.delivered("/hook")) == 1)
    assert receiver.at("/inside") == []


def test_a_malformed_response_is_not_stored(hooks: Hooks, feed: FeedWriter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:

        def respond() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"SSH-2.0-inside\r\n\r\n")

        response = pool.submit(respond)
        hooks.policy = RetryPolicy(timeout=1.0, first_pause=60.0, max_age=600.0)
        hook = hooks.create(f"http://127.0.0.1:{server.getsockname()[1]}/hook")
        feed.add("1")
        hooks.run_job()
        response.result(10)
    [delivery] = hooks.deliveries(hook)
    assert (delivery.state, delivery.attempts) == (DeliveryState.PENDING, 1)
    assert delivery.reason == "RemoteProtocolError: malformed or incomplete HTTP response"


def create_disabled_webhook(hooks: Hooks, receiver: WebhookReceiver) -> Webhook:
    """Create a webhook that is disabled because its first delivery failed until its maximum age."""
    receiver.behaviours["/hook"] = Behaviour(statuses=[500] * 1000)
    hook = hooks.create(f"{receiver.url}/hook")
    hooks.policy = RetryPolicy(timeout=5.0, first_pause=0.02, max_age=1.5)
    hooks.run_until(lambda: hooks.state(hook) is WebhookState.DISABLED)
    receiver.behaviours["/hook"] = Behaviour()
    return hook


def test_a_delivery_fails_at_its_maximum_age_and_the_webhook_is_disabled(
    hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    feed.add("1")
    hook = create_disabled_webhook(hooks, receiver)
    [delivery] = hooks.deliveries(hook)
    assert (delivery.state, delivery.status, delivery.next_attempt_at) == (DeliveryState.DEAD, 500, None)
    assert delivery.reason is not None
    assert re.fullmatch(r"no further attempts after \d s: HTTP status 500", delivery.reason)
    webhook = hooks.store.get(hook.id)
    assert webhook is not None
    assert webhook.reason == delivery.reason
    assert 2 <= delivery.attempts == len(receiver.at("/hook"))
    feed.add("2")
    assert hooks.run_job() == 0


@pytest.mark.parametrize(("missed", "sequences"), [("deliver", [1, 2, 3]), ("skip_failed", [2, 3]), ("skip_all", [3])])
def test_a_reenabled_webhook_continues_as_requested(
    missed: Any, sequences: list[int], hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    feed.add("1")
    hook = create_disabled_webhook(hooks, receiver)
    failed_id = hooks.deliveries(hook)[0].id
    feed.add("2")
    hooks.store.enable(hook.id, missed_delivery_policy=missed, now=time.time_ns() // 1_000_000)
    feed.add("3")
    hooks.run_until(lambda: receiver.sequences("/hook")[-1:] == [3])
    assert receiver.sequences("/hook") == sequences
    assert (receiver.delivered("/hook")[0].id == failed_id) is (missed == "deliver")
    assert hooks.state(hook) is WebhookState.ACTIVE


def test_a_receiver_that_answers_410_gets_no_further_requests(
    hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    receiver.behaviours["/hook"] = Behaviour(statuses=[410])
    hook = hooks.create(f"{receiver.url}/hook")
    feed.add("1")
    hooks.run_job()
    hooks.run_job()
    assert hooks.state(hook) is WebhookState.DISABLED
    assert len(receiver.at("/hook")) == 1


def test_a_ping_is_sent_before_pending_deliveries_and_not_retried(
    hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    feed.add("1")
    hook = create_disabled_webhook(hooks, receiver)
    before = len(receiver.at("/hook"))
    ping_delivery = hooks.store.create_ping(hook.id, now=time.time_ns() // 1_000_000)
    repeated = hooks.store.create_ping(hook.id, now=time.time_ns() // 1_000_000)
    assert ping_delivery is not None
    assert repeated is not None
    assert repeated.id == ping_delivery.id
    hooks.run_job()
    [ping] = receiver.at("/hook")[before:]
    assert (ping.id, ping.event["type"], ping.event["data"]) == (ping_delivery.id, "ping", {"webhook_id": hook.id})
    assert is_signed(ping, SECRET)
    receiver.behaviours["/hook"] = Behaviour(statuses=[500])
    hooks.store.create_ping(hook.id, now=time.time_ns() // 1_000_000)
    hooks.run_job()
    hooks.run_job()
    assert hooks.deliveries(hook)[-1].state is DeliveryState.DEAD
    assert len(receiver.at("/hook")) == before + 2
    assert hooks.store.create_ping("wh_none", now=0) is None


def test_a_deleted_webhook_gets_no_further_requests(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    hook = hooks.create(f"{receiver.url}/hook")
    feed.add("1")
    hooks.run_job()
    hooks.store.delete(hook.id)
    feed.add("2")
    hooks.run_job()
    assert receiver.sequences("/hook") == [1]
    assert hooks.deliveries(hook) == []


def test_deliveries_that_ended_are_kept_for_thirty_days(
    hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    hook = hooks.create(f"{receiver.url}/hook")
    failing = hooks.create(f"{receiver.url}/failing")
    receiver.behaviours["/failing"] = Behaviour(statuses=[500] * 9)
    feed.add("1")
    hooks.run_job()
    days = [time.time_ns() // 1_000_000 + number * 86_400_000 for number in (29, 31)]
    assert [hooks.queue.purge_ended(now=now) for now in days] == [0, 1]
    assert (len(hooks.deliveries(hook)), len(hooks.deliveries(failing))) == (0, 1)


def test_concurrent_workers_send_no_delivery_twice(hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver) -> None:
    for number in range(6):
        hooks.create(f"{receiver.url}/{number}")
    feed.add(*keys(*range(300)))

    async def run_concurrently() -> None:
        def create_dispatcher() -> WebhookDispatcher:
            return WebhookDispatcher(
                hooks.queue, WebhookSender(hooks.policy, allow_private=True, connections=32), attempt_seconds=1.0
            )

        await asyncio.gather(*(create_dispatcher().run() for _ in range(3)))

    for _ in range(4):
        asyncio.run(run_concurrently())
    for number in range(6):
        assert receiver.sequences(f"/{number}") == list(range(1, 301))
        assert len(receiver.at(f"/{number}")) == 3


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"]
)
def test_nothing_is_sent_to_private_addresses(
    host: str, hooks: Hooks, feed: FeedWriter, receiver: WebhookReceiver
) -> None:
    """Also if the URL was stored while private addresses were allowed."""
    port = receiver.url.rpartition(":")[2]
    hook = hooks.create(f"http://{host}:{port}/hook")
    hooks.private = False
    feed.add("1")
    hooks.run_job()
    [delivery] = hooks.deliveries(hook)
    assert delivery.reason is not None
    assert delivery.reason.startswith("address rejected:")
    assert (delivery.status, receiver.at("/hook")) == (None, [])


async def test_the_connection_uses_the_checked_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name could resolve to another address after the check (DNS rebinding)."""
    answers = [["127.0.0.1", "8.8.8.8", "::ffff:10.0.0.1"], ["127.0.0.1"]]
    connected: list[str] = []

    async def resolve(_host: object, port: int, **_: object) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in answers.pop(0)]

    async def connect(_self: object, host: str, *_: object) -> None:
        connected.append(host)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect)
    await PublicNetworkBackend(allow_private=False).connect_tcp("rebinding.example", 443)
    assert connected == ["8.8.8.8"]
    with pytest.raises(AddressRejectedError):
        await PublicNetworkBackend(allow_private=False).connect_tcp("rebinding.example", 443)
    assert connected == ["8.8.8.8"]


def test_retry_after_extends_the_pause_to_at_most_an_hour() -> None:
    assert 2.5 <= pause_seconds(1, first=5.0, retry_after=None) <= 5.0
    assert 1800 <= pause_seconds(10_000, first=5.0, retry_after=None) <= 3600
    assert pause_seconds(1, first=5.0, retry_after=60.0) == 60.0
    assert pause_seconds(1, first=5.0, retry_after=1e9) == 3600.0

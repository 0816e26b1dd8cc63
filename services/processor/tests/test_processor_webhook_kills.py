"""A worker is killed while it delivers webhooks: every change arrives, in order, at least once."""

import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bookwheel_contracts import WebhookEventType
from bookwheel_stores.records import NewWebhook, WebhookStore
from bookwheel_testing.feed_writer import FeedWriter
from bookwheel_testing.servers import Server, running, start, wait_until
from bookwheel_testing.webhook_receiver import Behaviour, WebhookReceiver, is_signed, running_webhook_receiver
from sqlalchemy import Engine

PROGRAM = str(Path(sys.executable).with_name("bookwheel-processor"))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KILLS = 3


@pytest.fixture
def environment(engine: Engine, tmp_path: Path, redis_url: str) -> dict[str, str]:
    return {
        "BOOKWHEEL_DATABASE_URL": engine.url.render_as_string(hide_password=False),
        "BOOKWHEEL_SEARCH_URL": f"tantivy://{tmp_path / 'index'}",
        "BOOKWHEEL_REDIS_URL": redis_url,
        "BOOKWHEEL_STATE_DIR": str(tmp_path),
        "BOOKWHEEL_WEBHOOK_PRIVATE_ADDRESSES": "allow",
        "BOOKWHEEL_WEBHOOK_TIMEOUT": "3",
        "BOOKWHEEL_WEBHOOK_FIRST_PAUSE": "0.1",
    }


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    with running_webhook_receiver() as receiver:
        yield receiver


def worker(environment: dict[str, str], folder: Path) -> Server:
    command = [PROGRAM, "worker", "--queues=webhooks", "--concurrency=1"]
    return start(command, log=folder / "worker.log", environment=environment)


@pytest.mark.slow_on("postgresql")
def test_kills_of_the_worker_lose_nothing_and_repeat_with_the_same_id(
    engine: Engine, environment: dict[str, str], receiver: WebhookReceiver, tmp_path: Path
) -> None:
    generator = random.Random(11)
    feed, store = FeedWriter(engine), WebhookStore(engine)
    paths = ["/quick", "/slow", "/failing"]
    receiver.behaviours["/slow"] = Behaviour(seconds=0.3)
    receiver.behaviours["/failing"] = Behaviour(statuses=[generator.choice([200, 500, 429]) for _ in range(60)])
    for path in paths:
        new = NewWebhook("me", f"{receiver.url}{path}", SECRET, (WebhookEventType.CATALOG_CHANGED,), (), 0)
        store.create(new, limit=10, now=0)
    with running([PROGRAM, "beat"], log=tmp_path / "beat.log", ready=lambda: True, environment=environment):
        written = 0
        for kill in range(KILLS):
            server = worker(environment, tmp_path)
            try:
                before = sum(len(receiver.at(path)) for path in paths)
                for _ in range(10):
                    count = generator.randrange(1, 120)
                    written = feed.add(*(f"{kill}-{written + number}" for number in range(count)))
                wait_until(
                    lambda before=before: sum(len(receiver.at(path)) for path in paths) > before + 2,  # type: ignore[misc]
                    seconds=120,
                    what="deliveries of this worker",
                )
                time.sleep(generator.uniform(0, 0.4))
            finally:
                server.kill()
        server = worker(environment, tmp_path)
        try:
            for path in paths:
                wait_until(
                    lambda path=path: receiver.sequences(path)[-1:] == [written],  # type: ignore[misc]
                    seconds=120,
                    what=f"everything at {path}",
                )
            # Checked before the worker is stopped, because its children log an error then.
            assert "Traceback" not in (tmp_path / "worker.log").read_text()
        finally:
            server.stop()
    for path in paths:
        assert receiver.sequences(path) == list(range(1, written + 1))
        received = receiver.at(path)
        assert all(is_signed(request, SECRET) for request in received)
        bodies: dict[str, set[bytes]] = {}
        for request in received:
            bodies.setdefault(request.id, set()).add(request.body)
        assert {len(different) for different in bodies.values()} == {1}

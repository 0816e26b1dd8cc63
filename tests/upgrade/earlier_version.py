"""A suite of an earlier commit: installs its code in a separate folder and fills the suite with data of every kind."""

import json
import os
import secrets
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from bookwheel_stores.streams import connect_redis
from bookwheel_stores.streams.writer import BODY_FIELD
from bookwheel_testing.servers import wait_until
from bookwheel_testing.suite_under_test import SuiteUnderTest, expected_shop_books
from redis import Redis

ROOT = Path(__file__).resolve().parents[2]
LAST_DAY = 2
HELD_RUN_DAY = 45
PASSWORD = "a wheel of open books"


def install_commit(commit: str, folder: Path) -> None:
    """Checks out `commit` into `folder` and installs it. PostgreSQL and Elasticsearch are those of this checkout."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    subprocess.run(["tar", "--extract"], input=archive, cwd=folder, check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BOOKWHEEL_")}
    subprocess.run(["deploy/local/bootstrap.sh"], cwd=folder, env=environment, check=True)
    (folder / ".venv" / "engines").symlink_to(ROOT / ".venv" / "engines")


@dataclass(frozen=True)
class Account:
    """A registered user with an API key and a valid login."""

    email: str
    key: str
    refresh_token: str


@dataclass(frozen=True)
class FilledSuite:
    """The data of a suite that the tests check. The items of `queued_run` are still in the stream."""

    account: Account
    predictions: dict[str, float]
    held_run: str
    queued_run: str


def set_shop(suite: SuiteUnderTest, path: str, body: dict[str, Any]) -> None:
    httpx.put(f"{suite.shop_url}/_shop/{path}", json=body).raise_for_status()


def fill(suite: SuiteUnderTest, webhook_url: str) -> FilledSuite:
    """Fills a running suite: crawls of several days, removed books, quarantine, exports, accounts."""
    suite.post("/api/v1/webhooks", {"url": webhook_url, "after": 0}, 201)
    account = register(suite)
    crawl_days(suite)
    discard_run(suite)
    quarantine_unreadable_item(suite)
    predictions = predict(suite)
    request_export(suite)
    set_shop(suite, "day", {"day": HELD_RUN_DAY})
    held_run = suite.crawl()
    assert held_run["state"] == "held", held_run
    wait_until(lambda: is_current(suite), seconds=600, what="index, lake and webhooks up to date")
    return FilledSuite(account, predictions, held_run["id"], crawl_without_worker(suite))


def crawl_days(suite: SuiteUnderTest) -> None:
    for day in range(1, LAST_DAY + 1):
        set_shop(suite, "day", {"day": day})
        run = suite.crawl()
        assert (run["state"], run["counts"]["modified"] > 0) == ("complete", True), run
    run = suite.crawl()  # the grace run after which vanished books are removed
    assert run["removed"] > 0, run


def register(suite: SuiteUnderTest) -> Account:
    body = {"email": f"{secrets.token_hex(4)}@example.com", "password": PASSWORD}
    httpx.post(f"{suite.url}/api/v1/auth/register", json=body, timeout=30).raise_for_status()
    login = httpx.post(f"{suite.url}/api/v1/auth/login", json=body, timeout=30).raise_for_status().json()
    headers = {"Authorization": f"Bearer {login['access_token']}"}
    key = httpx.post(f"{suite.url}/api/v1/auth/keys", json={"name": "test"}, headers=headers, timeout=30)
    return Account(body["email"], key.raise_for_status().json()["key"], login["refresh_token"])


def discard_run(suite: SuiteUnderTest) -> None:
    """Crawls until a run is held, and discards it. Its items are quarantined."""
    set_shop(suite, "faults", {"rate": 1, "kinds": ["layout"]})
    run = suite.crawl()
    set_shop(suite, "faults", {})
    assert run["state"] == "held", run
    suite.post(f"/api/v1/crawls/{run['id']}/discard", {}, 202)
    path = f"/api/v1/crawls/{run['id']}"
    wait_until(lambda: suite.get(path)["state"] == "cancelled", seconds=300, what="the run discarded")


def quarantine_unreadable_item(suite: SuiteUnderTest) -> None:
    def total() -> int:
        return int(suite.get("/api/v1/quarantine", params={"limit": "1"})["total"])

    before = total()
    with connect_redis(suite.program_environment["BOOKWHEEL_REDIS_URL"]) as redis:
        redis.xadd("bookwheel:raw", {BODY_FIELD: b"not a message"})
    wait_until(lambda: total() == before + 1, seconds=300, what="the entry quarantined")


def predict(suite: SuiteUnderTest) -> dict[str, float]:
    """Returns predicted ratings of ten books by id. Waits until they are stored."""
    books = [{"book_id": f"demo:{fact['upc']}"} for fact in expected_shop_books(suite.shop_url)[:10]]
    predictions = suite.post("/api/v1/ml/predictions", {"books": books})["predictions"]
    stored = "SELECT count(*) FROM prediction"
    wait_until(lambda: suite.rows(stored)[0][0] >= len(books), seconds=300, what="the predictions stored")
    return {prediction["book_id"]: prediction["rating"] for prediction in predictions if prediction["rating"]}


def request_export(suite: SuiteUnderTest) -> None:
    version = suite.post("/api/v1/exports", {}, 202)["at_least"]

    def is_written() -> bool:
        return any(export["version"] >= version for export in suite.get("/api/v1/exports")["items"])

    wait_until(is_written, seconds=300, what="the export")


def is_current(suite: SuiteUnderTest) -> bool:
    """Returns whether index, lake and webhooks contain the whole change feed."""
    [(head,)] = suite.rows("SELECT max(sequence) FROM change")
    [webhook] = suite.get("/api/v1/webhooks")["items"]
    deliveries = suite.get(f"/api/v1/webhooks/{webhook['id']}/deliveries", params={"limit": "100"})["items"]
    is_delivered = webhook["position"] == head and all(delivery["state"] == "delivered" for delivery in deliveries)
    projections = suite.rows("SELECT sequence FROM projection WHERE name IN ('search', 'lake', 'lake-books')")
    return is_delivered and projections == [(head,)] * 3


def crawl_without_worker(suite: SuiteUnderTest) -> str:
    """Crawls the shop's other front end while the worker is suspended. The items stay in the stream."""
    os.killpg(suite.supervisor.states()["processor-worker"].pid, signal.SIGSTOP)  # `down` ends it with SIGKILL
    run_id = suite.start_crawl("schema_org", f"{suite.shop_url}/schema/")
    with connect_redis(suite.program_environment["BOOKWHEEL_REDIS_URL"]) as redis:
        wait_until(lambda: has_ended(redis, run_id), seconds=600, what="the crawl published")
    return run_id


def has_ended(redis: Redis, run_id: str) -> bool:
    entries: Any = redis.xrevrange("bookwheel:raw", count=1)
    bodies = [json.loads(fields[BODY_FIELD]) for _, fields in entries]
    return any(body["kind"] == "run_finished" and body["run_id"] == run_id for body in bodies)

"""The suite in containers: crawls, search and predictions, also while containers are killed, stopped and scaled."""

import json
import secrets
import subprocess
import time
from datetime import UTC, datetime

import httpx
import pytest
from bookwheel_contracts.status import SERVICES
from bookwheel_testing.container_suite import ContainerSuite
from bookwheel_testing.servers import wait_until
from bookwheel_testing.shop_check import check_against_shop, next_day

pytestmark = pytest.mark.timeout(3600)  # the first test builds the images

# After the last response, uvicorn raises the received signal again (`capture_signals`).
EXIT_STATUSES = {"accounts": 143, "catalog-api": 143, "ml-serving": 143}
PROGRAMS = ("gateway", "accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor", "processor-beat")


def test_a_shop_becomes_search_hits_and_predictions(suite: ContainerSuite) -> None:
    trace_id = secrets.token_hex(16)
    headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
    run = suite.wait_for_crawl(suite.start_crawl("demo", headers=headers), seconds=300)
    check_against_shop(suite, run)
    suite.train_model(seconds=280, headers=headers)
    book = suite.get("/api/v1/books", params={"limit": "1"}, headers=headers)["items"][0]
    body = {"books": [{"book_id": book["id"]}]}
    wait_until(
        lambda: suite.request("POST", "/api/v1/ml/predictions", json=body, headers=headers).status_code == 200,
        seconds=60,
        what="the model served",
    )
    prediction = suite.post("/api/v1/ml/predictions", body, headers=headers)["predictions"][0]
    assert prediction["low"] <= prediction["rating"] <= prediction["high"]
    logs = [line.partition(" | ")[2] for line in suite.compose("logs", "--no-color").splitlines() if trace_id in line]
    services = {json.loads(line)["service"] for line in logs if line.startswith("{")}
    assert {"gateway", "catalog-api", "scraper", "processor", "ml-serving"} <= services


def test_the_status_is_ok_with_a_replica_of_every_program(suite: ContainerSuite) -> None:
    ready = {service["name"]: service["ready"] for service in suite.wait_until_ok()["services"]}
    assert set(ready) == set(SERVICES)
    assert min(ready.values()) >= 1, ready


def test_data_and_tokens_survive_new_containers(suite: ContainerSuite) -> None:
    before = suite.get("/api/v1/stats/overview")
    suite.discard_token()
    token = suite.token()
    suite.compose("down", "--timeout", "10")
    suite.up()
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(suite.url + "/api/v1/sources", headers=headers).status_code == 200, "the signing key is the same"
    suite.discard_token()
    assert suite.get("/api/v1/stats/overview")["books"] == before["books"]


def test_more_processors_and_scrapers_share_the_work(suite: ContainerSuite) -> None:
    suite.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "processor=3", "--scale", "scraper=2")
    next_day(suite)
    check_against_shop(suite, suite.crawl("demo"))
    suite.compose("up", "--detach", "--wait", "--no-recreate", "--scale", "processor=1", "--scale", "scraper=1")


@pytest.mark.parametrize("victim", ["processor", "scraper", "redis", "postgres", "elasticsearch", "gateway"])
def test_a_container_killed_during_a_crawl_loses_and_duplicates_nothing(suite: ContainerSuite, victim: str) -> None:
    next_day(suite)
    run_id = suite.start_crawl("demo")
    time.sleep(secrets.randbelow(2000) / 1000 + 0.3)
    container = suite.compose("ps", "--quiet", victim).split()[0]
    # Not with `docker kill`, because Docker would not restart the container.
    pid = subprocess.run(
        ["docker", "inspect", "--format", "{{.State.Pid}}", container], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["kill", "-KILL", pid], check=True)
    check_against_shop(suite, suite.wait_for_crawl(run_id, seconds=240))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_container_stopped_during_a_crawl_ends_within_ten_seconds_and_loses_nothing(
    suite: ContainerSuite, program: str
) -> None:
    next_day(suite)
    run_id = suite.start_crawl("demo")
    wait_until(lambda: suite.get(f"/api/v1/crawls/{run_id}")["pages"] > 20, seconds=60, what="pages crawled")
    container = suite.compose("ps", "--quiet", program).split()[0]
    stopped_at = datetime.now(UTC)
    subprocess.run(["docker", "stop", "--time", "30", container], capture_output=True, check=True)
    inspect = ["docker", "inspect", "--format", "{{.State.ExitCode}} {{.State.FinishedAt}}", container]
    status, finished = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.split()
    seconds = (datetime.fromisoformat(finished) - stopped_at).total_seconds()
    subprocess.run(["docker", "start", container], capture_output=True, check=True)
    run = suite.wait_for_crawl(run_id, seconds=240)
    suite.compose("up", "--detach", "--wait", "--no-build", "--no-recreate")
    check_against_shop(suite, run)
    assert int(status) == EXIT_STATUSES.get(program, 0), f"{program} ended with {status}"
    assert seconds < 10, f"{program} took {seconds:.1f} s"

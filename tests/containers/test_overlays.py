"""The overlays of deploy/compose, all of them over one suite: an S3 lake, Prometheus, scaling, development."""

import hashlib
import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bookwheel_local.compose import ROOT
from bookwheel_local.errors import LocalError
from bookwheel_testing.container_suite import ContainerSuite
from bookwheel_testing.servers import free_port, wait_until
from bookwheel_testing.shop_check import check_against_shop
from bookwheel_testing.suite_under_test import free_port_base

pytestmark = pytest.mark.timeout(3600)  # the first builds the images

OVERLAYS = ("demo", "s3", "prometheus", "scaling", "development")
OF_TESTS = ("tests/containers/published.yml", "tests/containers/store.yml")
_PATIENCE_SECONDS = 300.0  # Compose, the engine and the services share the cores with whatever else runs
SOURCED = ("accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor", "processor-beat")


@pytest.fixture(scope="module")
def overlaid(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerSuite]:
    suite = ContainerSuite(
        state=tmp_path_factory.mktemp("overlaid"),
        port_base=free_port_base(),
        books=500,
        project="bookwheel-overlaid",
        overlays=(*(f"deploy/compose/{name}.yml" for name in OVERLAYS), *OF_TESTS),
        settings={
            "BOOKWHEEL_LAKE_URL": "s3://lake/suite",
            "BOOKWHEEL_LAKE_ENDPOINT": "http://store:9000",
            "BOOKWHEEL_LAKE_ACCESS_KEY": "bookwheel-tests",
            "BOOKWHEEL_LAKE_SECRET_KEY": secrets.token_hex(16),
            "BOOKWHEEL_PUBLISH_PROMETHEUS": f"127.0.0.1:{free_port()}",
        },
    )
    try:
        suite.up()
        yield suite
    finally:
        suite.down()


def test_the_scaled_suite_crawls_into_the_bucket(overlaid: ContainerSuite) -> None:
    containers = [json.loads(line) for line in overlaid.compose("ps", "--format", "json").splitlines()]
    healthy = [each["Service"] for each in containers if each["Health"] == "healthy"]
    assert (healthy.count("processor"), healthy.count("scraper")) == (3, 2)
    check_against_shop(overlaid, overlaid.crawl("demo"))
    ordered = overlaid.post("/api/v1/exports", {}, 202)["at_least"]
    found: dict[str, Any] = {}

    def there() -> bool:
        newest = overlaid.get("/api/v1/exports", params={"limit": "1"})["items"]
        found.update(newest[0] if newest and newest[0]["version"] >= ordered else {})
        return bool(found)

    wait_until(there, seconds=60, what="an export")
    assert found["books"] == len(overlaid.books_where("source:demo"))
    stored = overlaid.compose("exec", "-T", "store", "find", "/data/lake/suite", "-name", "xl.meta").splitlines()
    folders = {Path(line).relative_to("/data/lake/suite").parts[0] for line in stored}
    assert {"bronze", "silver", "exports"} <= folders
    for file in found["files"]:
        answer = overlaid.request("GET", f"/api/v1/{file['path']}")
        assert hashlib.sha256(answer.content).hexdigest() == file["sha256"], file


def test_prometheus_reads_every_replica_and_its_rules_hold(overlaid: ContainerSuite) -> None:
    url = f"http://{overlaid.settings['BOOKWHEEL_PUBLISH_PROMETHEUS']}/api/v1"
    expected = dict.fromkeys((*SOURCED, "gateway"), 1) | {"processor": 3, "scraper": 2}

    def read() -> dict[str, int]:
        answer = httpx.get(f"{url}/query", params={"query": "count by (job) (up == 1)"}).json()
        return {each["metric"]["job"]: int(each["value"][1]) for each in answer["data"]["result"]}

    wait_until(lambda: read() == expected, seconds=90, what="every replica read")

    def rules() -> list[dict[str, Any]]:
        return [rule for group in httpx.get(f"{url}/rules").json()["data"]["groups"] for rule in group["rules"]]

    wait_until(lambda: {rule["health"] for rule in rules()} == {"ok"}, seconds=60, what="every rule evaluated")
    assert {rule["type"] for rule in rules()} == {"recording", "alerting"}
    books = overlaid.get("/api/v1/stats/overview")["books"]

    def added() -> int:
        answer = httpx.get(f"{url}/query", params={"query": 'max(bookwheel_items{verdict="added"})'}).json()
        return int(answer["data"]["result"][0]["value"][1])

    wait_until(lambda: added() == books, seconds=60, what="the items of the crawl counted")


def test_a_changed_source_file_restarts_its_service_and_no_other(overlaid: ContainerSuite) -> None:
    for name in SOURCED:
        asked = "import bookwheel_runtime; print(bookwheel_runtime.__file__)"
        where = overlaid.compose("exec", "-T", name, "python", "-c", asked)
        assert where.startswith("/source/"), name
    began = {name: _started(overlaid, name) for name in ("catalog-api", "accounts")}
    command = ["docker", "compose", "--project-name", overlaid.project]
    command += [
        part for name in ("docker-compose.yml", *overlaid.compose_project.overlays) for part in ("--file", name)
    ]
    changed = ROOT / "services/catalog-api/src/bookwheel_catalog/_watched_by_a_test.py"
    with subprocess.Popen(
        [*command, "watch", "--no-up"],
        cwd=ROOT,
        env=os.environ | overlaid.compose_project.settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as watching:
        try:
            assert watching.stdout is not None
            for line in watching.stdout:
                if "Watch enabled" in line:
                    break
            changed.write_text("CHANGED = True\n")
            wait_until(
                lambda: _started(overlaid, "catalog-api") != began["catalog-api"],
                seconds=_PATIENCE_SECONDS,
                what="a restart of the service",
            )
            wait_until(lambda: _has_change(overlaid), seconds=_PATIENCE_SECONDS, what="the changed source")
        finally:
            changed.unlink(missing_ok=True)
            watching.terminate()
    assert _started(overlaid, "accounts") == began["accounts"]
    wait_until(
        lambda: overlaid.request("GET", "/api/v1/sources").status_code == 200,
        seconds=_PATIENCE_SECONDS,
        what="the service answers again",
    )


def _has_change(suite: ContainerSuite) -> bool:
    """Whether the container has the changed source. A command in it fails while the container restarts."""
    code = "from bookwheel_catalog._watched_by_a_test import CHANGED; print(CHANGED)"
    try:
        return suite.compose("exec", "-T", "catalog-api", "python", "-c", code).strip() == "True"
    except LocalError:
        return False


def _started(suite: ContainerSuite, service: str) -> str:
    """When the service's container was started, also while it restarts and does not run."""
    container = suite.compose("ps", "--all", "--quiet", service).split()[0]
    inspect = ["docker", "inspect", "--format", "{{.State.StartedAt}}", container]
    return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()

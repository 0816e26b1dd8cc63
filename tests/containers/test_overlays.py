"""All overlays of deploy/compose on one suite: an S3 lake, Prometheus, scaling, development."""

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

pytestmark = pytest.mark.timeout(3600)  # the first test builds the images

OVERLAYS = ("demo", "s3", "prometheus", "scaling", "development")
TEST_OVERLAYS = ("tests/containers/published.yml", "tests/containers/store.yml")
_WAIT_SECONDS = 300.0  # other programs may use the cores, too
SERVICES = ("accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor", "processor-beat")


@pytest.fixture(scope="module")
def suite(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerSuite]:
    suite = ContainerSuite(
        state=tmp_path_factory.mktemp("overlaid"),
        port_base=free_port_base(),
        books=500,
        project="bookwheel-overlaid",
        overlays=(*(f"deploy/compose/{name}.yml" for name in OVERLAYS), *TEST_OVERLAYS),
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


def test_the_scaled_suite_crawls_into_the_bucket(suite: ContainerSuite) -> None:
    containers = [json.loads(line) for line in suite.compose("ps", "--format", "json").splitlines()]
    healthy = [container["Service"] for container in containers if container["Health"] == "healthy"]
    assert (healthy.count("processor"), healthy.count("scraper")) == (3, 2)
    check_against_shop(suite, suite.crawl("demo"))
    requested_version = suite.post("/api/v1/exports", {}, 202)["at_least"]
    export: dict[str, Any] = {}

    def is_written() -> bool:
        newest = suite.get("/api/v1/exports", params={"limit": "1"})["items"]
        export.update(newest[0] if newest and newest[0]["version"] >= requested_version else {})
        return bool(export)

    wait_until(is_written, seconds=60, what="an export")
    assert export["books"] == len(suite.books_where("source:demo"))
    paths = suite.compose("exec", "-T", "store", "find", "/data/lake/suite", "-name", "xl.meta").splitlines()
    folders = {Path(path).relative_to("/data/lake/suite").parts[0] for path in paths}
    assert {"bronze", "silver", "exports"} <= folders
    for file in export["files"]:
        response = suite.request("GET", f"/api/v1/{file['path']}")
        assert hashlib.sha256(response.content).hexdigest() == file["sha256"], file


def test_prometheus_scrapes_every_replica_and_evaluates_its_rules(suite: ContainerSuite) -> None:
    url = f"http://{suite.settings['BOOKWHEEL_PUBLISH_PROMETHEUS']}/api/v1"
    expected = dict.fromkeys((*SERVICES, "gateway"), 1) | {"processor": 3, "scraper": 2}

    def ready_replicas() -> dict[str, int]:
        response = httpx.get(f"{url}/query", params={"query": "count by (job) (up == 1)"}).json()
        return {series["metric"]["job"]: int(series["value"][1]) for series in response["data"]["result"]}

    wait_until(lambda: ready_replicas() == expected, seconds=90, what="the scrape of every replica")

    def rules() -> list[dict[str, Any]]:
        return [rule for group in httpx.get(f"{url}/rules").json()["data"]["groups"] for rule in group["rules"]]

    wait_until(lambda: {rule["health"] for rule in rules()} == {"ok"}, seconds=60, what="every rule evaluated")
    assert {rule["type"] for rule in rules()} == {"recording", "alerting"}
    books = suite.get("/api/v1/stats/overview")["books"]

    def added() -> int:
        response = httpx.get(f"{url}/query", params={"query": 'max(bookwheel_items{verdict="added"})'}).json()
        return int(response["data"]["result"][0]["value"][1])

    wait_until(lambda: added() == books, seconds=60, what="the items of the crawl counted")


def test_a_changed_source_file_restarts_only_its_service(suite: ContainerSuite) -> None:
    for name in SERVICES:
        code = "import bookwheel_runtime; print(bookwheel_runtime.__file__)"
        path = suite.compose("exec", "-T", name, "python", "-c", code)
        assert path.startswith("/source/"), name
    started_at = {name: _started(suite, name) for name in ("catalog-api", "accounts")}
    command = ["docker", "compose", "--project-name", suite.project]
    command += [part for name in ("docker-compose.yml", *suite.compose_project.overlays) for part in ("--file", name)]
    changed_file = ROOT / "services/catalog-api/src/bookwheel_catalog/_watched_by_a_test.py"
    with subprocess.Popen(
        [*command, "watch", "--no-up"],
        cwd=ROOT,
        env=os.environ | suite.compose_project.settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if "Watch enabled" in line:
                    break
            changed_file.write_text("CHANGED = True\n")
            wait_until(
                lambda: _started(suite, "catalog-api") != started_at["catalog-api"],
                seconds=_WAIT_SECONDS,
                what="a restart of the service",
            )
            wait_until(lambda: _has_change(suite), seconds=_WAIT_SECONDS, what="the changed source")
        finally:
            changed_file.unlink(missing_ok=True)
            process.terminate()
    assert _started(suite, "accounts") == started_at["accounts"]
    wait_until(
        lambda: suite.request("GET", "/api/v1/sources").status_code == 200,
        seconds=_WAIT_SECONDS,
        what="the service answers again",
    )


def _has_change(suite: ContainerSuite) -> bool:
    """Returns whether the container has the changed source. Commands fail while it restarts."""
    code = "from bookwheel_catalog._watched_by_a_test import CHANGED; print(CHANGED)"
    try:
        return suite.compose("exec", "-T", "catalog-api", "python", "-c", code).strip() == "True"
    except LocalError:
        return False


def _started(suite: ContainerSuite, service: str) -> str:
    """Returns the start time of the container, also while it restarts."""
    container = suite.compose("ps", "--all", "--quiet", service).split()[0]
    inspect = ["docker", "inspect", "--format", "{{.State.StartedAt}}", container]
    return subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.strip()

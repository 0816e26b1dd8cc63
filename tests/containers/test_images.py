"""What every image promises: small rights, nothing but what it needs, a list of its parts, a quick stop."""

import json
import subprocess
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from bookwheel_local.containers import ROOT
from bookwheel_testing.containers import ContainerSuite
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.timeout(3600)  # the first builds the images

SERVICES = ("accounts", "catalog-api", "ml-serving", "processor", "scraper", "demo-shop")
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(service: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", f"bookwheel/{service}:{VERSION}"))
    config: dict[str, Any] = found[0]["Config"]
    return config


@pytest.mark.parametrize("service", [*SERVICES, "gateway"])
def test_an_image_names_its_version_and_runs_as_no_root(suite: ContainerSuite, service: str) -> None:
    config = inspected(service)
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_holds_what_its_lock_names_and_no_build_tools(suite: ContainerSuite, service: str) -> None:
    tools = "for tool in gcc cc make uv git; do command -v $tool; done"
    look = f"ls /opt/bookwheel/bin; {tools}; cat /opt/bookwheel/sbom.cdx.json"
    printed = docker("run", "--rm", "--entrypoint", "sh", f"bookwheel/{service}:{VERSION}", "-c", look)
    before, parts = printed.split("{", 1)
    assert not {"gcc", "cc", "make", "uv", "git", "pip"} & {Path(line).name for line in before.splitlines()}
    listed = {canonicalize_name(part["name"]) for part in json.loads("{" + parts)["components"]}
    folder = ROOT / (service if service == "demo-shop" else f"services/{service}")
    lock = (folder / "requirements.lock").read_text()
    names = [line.split("==")[0] for line in lock.splitlines() if "==" in line and ";" not in line]
    assert len(names) > 5
    assert not [name for name in names if name.split("[")[0] not in listed]


def test_only_the_gateway_is_published(suite: ContainerSuite) -> None:
    rows = [json.loads(line) for line in suite.compose("ps", "--format", "json").splitlines()]
    published = {row["Service"] for row in rows if any(port["PublishedPort"] for port in row["Publishers"] or [])}
    assert published == {"gateway", "demo-shop"}  # the shop by the tests' own overlay
    assert {row["Health"] for row in rows} <= {"healthy", ""}


def test_every_container_stops_cleanly_within_ten_seconds(suite: ContainerSuite) -> None:
    for service in ("gateway", "accounts", "catalog-api", "ml-serving", "trainer", "scraper", "processor"):
        container = suite.compose("ps", "--quiet", service).split()[0]
        began = time.monotonic()
        docker("stop", "--time", "30", container)
        took = time.monotonic() - began
        status = int(docker("inspect", "--format", "{{.State.ExitCode}}", container))
        docker("start", container)
        assert status in {0, 143}, f"{service} ended with {status}"
        assert took < 10, f"{service} took {took:.1f} s"
    suite.up()

"""What every image promises: small rights, nothing but what it needs, a list of its parts, no pull."""

import json
import subprocess
from typing import Any
from urllib.parse import quote

import pytest
from bookwheel_local.compose import ROOT
from bookwheel_testing.container_suite import IMAGES_VERSION as VERSION
from bookwheel_testing.container_suite import ContainerSuite
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.timeout(3600)  # the first builds the images

SERVICES = ("accounts", "catalog-api", "ml-serving", "processor", "scraper", "demo-shop")
IMAGES = (*SERVICES, "gateway")
PYTHONS = ("python", "/usr/local/bin/python3", "/usr/bin/python3")


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def inspected(service: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = json.loads(docker("image", "inspect", f"bookwheel/{service}:{VERSION}"))
    config: dict[str, Any] = found[0]["Config"]
    return config


def printed(service: str, script: str) -> str:
    """By a shell in its image."""
    return docker("run", "--rm", "--entrypoint", "sh", f"bookwheel/{service}:{VERSION}", "-c", script)


def parts(service: str) -> list[dict[str, Any]]:
    listed = json.loads(printed(service, "cat /*/bookwheel/sbom.cdx.json"))
    assert (listed["bomFormat"], listed["specVersion"]) == ("CycloneDX", "1.6")
    components: list[dict[str, Any]] = listed["components"]
    assert len({part["bom-ref"] for part in components}) == len(components)
    return components


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_names_its_version_and_runs_as_no_root(suite: ContainerSuite, service: str) -> None:
    config = inspected(service)
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_holds_no_build_tools(suite: ContainerSuite, service: str) -> None:
    assert printed(service, "for tool in gcc cc make uv git pip pip3; do command -v $tool; done; true") == ""
    # The base's own Python too; the environment's may have setuptools, where its lock names it.
    ask = "for module in pip ensurepip; do $python -m $module --version; done"
    assert printed(service, f"for python in {' '.join(PYTHONS)}; do {ask} 2>/dev/null; done; true") == ""
    folders = ("/usr/lib/python3/dist-packages", "/usr/local/lib/python3*/*-packages", "/usr/share/python-wheels")
    left = " ".join(f"{folder}/{package}*" for folder in folders for package in ("pip", "setuptools", "wheel"))
    assert printed(service, f"ls -d {left} 2>/dev/null; true") == ""


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_lists_what_its_lock_names(suite: ContainerSuite, service: str) -> None:
    listed = {canonicalize_name(part["name"]) for part in parts(service)}
    folder = ROOT / (service if service == "demo-shop" else f"services/{service}")
    lock = (folder / "requirements.lock").read_text()
    names = [line.split("==")[0] for line in lock.splitlines() if "==" in line and ";" not in line]
    assert len(names) > 5
    assert not [name for name in names if name.split("[")[0] not in listed]
    assert "python" in listed


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_lists_the_packages_of_its_distribution(suite: ContainerSuite, service: str) -> None:
    installed = printed(
        service, "dpkg-query --show --showformat '${Package} ${Version} ${Architecture}\\n'"
    ).splitlines()
    assert len(installed) > 50
    listed = [part for part in parts(service) if part.get("purl", "").startswith("pkg:deb/")]
    named = sorted(
        f"{part['name']} {part['version']} {part['purl'].split('?arch=')[1].split('&')[0]}" for part in listed
    )
    assert named == sorted(installed)
    for part in listed:
        assert part["purl"].split("?")[0] == f"pkg:deb/debian/{quote(part['name'])}@{quote(part['version'])}"


def test_no_image_of_this_project_is_asked_of_a_registry(suite: ContainerSuite) -> None:
    services = json.loads(suite.compose("config", "--format", "json"))["services"]
    own = {name: each for name, each in services.items() if each["image"].startswith("bookwheel/")}
    assert {each["image"].split("/")[1] for each in own.values()} == {f"{image}:{VERSION}" for image in IMAGES}
    assert {name: each["pull_policy"] for name, each in own.items()} == dict.fromkeys(own, "never")


def test_only_the_gateway_is_published(suite: ContainerSuite) -> None:
    rows = [json.loads(line) for line in suite.compose("ps", "--format", "json").splitlines()]
    published = {row["Service"] for row in rows if any(port["PublishedPort"] for port in row["Publishers"] or [])}
    assert published == {"gateway", "demo-shop"}  # the shop by the tests' own overlay
    assert {row["Health"] for row in rows} <= {"healthy", ""}

"""Every image runs without root, has no build tools, lists its components and is never pulled."""

import json
import subprocess
from typing import Any
from urllib.parse import quote

import pytest
from bookwheel_local.compose import ROOT
from bookwheel_testing.container_suite import IMAGES_VERSION as VERSION
from bookwheel_testing.container_suite import ContainerSuite
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.timeout(3600)  # the first test builds the images

SERVICES = ("accounts", "catalog-api", "ml-serving", "processor", "scraper", "demo-shop")
IMAGES = (*SERVICES, "gateway")
PYTHONS = ("python", "/usr/local/bin/python3", "/usr/bin/python3")


def docker(*arguments: str) -> str:
    result = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def image_config(service: str) -> dict[str, Any]:
    [image] = json.loads(docker("image", "inspect", f"bookwheel/{service}:{VERSION}"))
    config: dict[str, Any] = image["Config"]
    return config


def run_shell(service: str, script: str) -> str:
    """Returns the output of a shell script in a container of the image."""
    return docker("run", "--rm", "--entrypoint", "sh", f"bookwheel/{service}:{VERSION}", "-c", script)


def sbom_components(service: str) -> list[dict[str, Any]]:
    sbom = json.loads(run_shell(service, "cat /*/bookwheel/sbom.cdx.json"))
    assert (sbom["bomFormat"], sbom["specVersion"]) == ("CycloneDX", "1.6")
    components: list[dict[str, Any]] = sbom["components"]
    assert len({component["bom-ref"] for component in components}) == len(components)
    return components


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_has_its_version_and_does_not_run_as_root(suite: ContainerSuite, service: str) -> None:
    config = image_config(service)
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert config["Labels"]["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"][0] == "CMD"


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_has_no_build_tools(suite: ContainerSuite, service: str) -> None:
    assert run_shell(service, "for tool in gcc cc make uv git pip pip3; do command -v $tool; done; true") == ""
    # Also not in the Python of the base image. The environment has setuptools if its lock file lists it.
    command = "for module in pip ensurepip; do $python -m $module --version; done"
    assert run_shell(service, f"for python in {' '.join(PYTHONS)}; do {command} 2>/dev/null; done; true") == ""
    folders = ("/usr/lib/python3/dist-packages", "/usr/local/lib/python3*/*-packages", "/usr/share/python-wheels")
    paths = " ".join(f"{folder}/{package}*" for folder in folders for package in ("pip", "setuptools", "wheel"))
    assert run_shell(service, f"ls -d {paths} 2>/dev/null; true") == ""


@pytest.mark.parametrize("service", SERVICES)
def test_an_image_lists_the_packages_of_its_lock_file(suite: ContainerSuite, service: str) -> None:
    component_names = {canonicalize_name(component["name"]) for component in sbom_components(service)}
    folder = ROOT / (service if service == "demo-shop" else f"services/{service}")
    lock = (folder / "requirements.lock").read_text()
    names = [line.split("==")[0] for line in lock.splitlines() if "==" in line and ";" not in line]
    assert len(names) > 5
    assert not [name for name in names if name.split("[")[0] not in component_names]
    assert "python" in component_names


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_lists_the_packages_of_its_distribution(suite: ContainerSuite, service: str) -> None:
    installed = run_shell(
        service, "dpkg-query --show --showformat '${Package} ${Version} ${Architecture}\\n'"
    ).splitlines()
    assert len(installed) > 50
    packages = [component for component in sbom_components(service) if component.get("purl", "").startswith("pkg:deb/")]
    names = sorted(
        f"{component['name']} {component['version']} {component['purl'].split('?arch=')[1].split('&')[0]}"
        for component in packages
    )
    assert names == sorted(installed)
    for component in packages:
        assert (
            component["purl"].split("?")[0]
            == f"pkg:deb/debian/{quote(component['name'])}@{quote(component['version'])}"
        )


def test_no_image_of_this_project_is_pulled_from_a_registry(suite: ContainerSuite) -> None:
    services = json.loads(suite.compose("config", "--format", "json"))["services"]
    project_services = {
        name: service for name, service in services.items() if service["image"].startswith("bookwheel/")
    }
    assert {service["image"].split("/")[1] for service in project_services.values()} == {
        f"{image}:{VERSION}" for image in IMAGES
    }
    assert {name: service["pull_policy"] for name, service in project_services.items()} == dict.fromkeys(
        project_services, "never"
    )


def test_only_the_gateway_is_published(suite: ContainerSuite) -> None:
    rows = [json.loads(line) for line in suite.compose("ps", "--format", "json").splitlines()]
    published = {row["Service"] for row in rows if any(port["PublishedPort"] for port in row["Publishers"] or [])}
    assert published == {"gateway", "demo-shop"}  # the overlay of the tests publishes the shop
    assert {row["Health"] for row in rows} <= {"healthy", ""}

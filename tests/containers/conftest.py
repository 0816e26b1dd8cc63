"""The suite in containers that these tests share. They need a Docker engine and run by `make test-docker`."""

import os
import subprocess
from collections.abc import Iterator

import pytest
from bookwheel_testing.container_suite import IMAGES_VERSION, ContainerSuite
from bookwheel_testing.suite_under_test import free_port_base


@pytest.fixture(scope="session")
def engine() -> None:
    """Skips the tests unless `make test-docker` runs them. Fails without a Docker engine."""
    if not os.environ.get("BOOKWHEEL_TEST_CONTAINERS"):
        pytest.skip("tests of the containers run by `make test-docker`")
    result = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"the Docker engine is unavailable: {result.stderr}"


@pytest.fixture(scope="session")
def suite(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContainerSuite]:
    suite = ContainerSuite(
        state=tmp_path_factory.mktemp("containers"),
        port_base=free_port_base(),
        books=1000,
        project=os.environ.get("BOOKWHEEL_TEST_PROJECT", "bookwheel-test"),
    )
    try:
        if not _has_images():
            suite.compose_up()
        suite.up()
        yield suite
    finally:
        suite.down()


def _has_images() -> bool:
    images = ["docker", "image", "ls", "--quiet", f"bookwheel/*:{IMAGES_VERSION}"]
    return bool(subprocess.run(images, capture_output=True, text=True, check=True).stdout)

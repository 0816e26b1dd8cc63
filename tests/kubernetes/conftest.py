"""The release that these tests share. They need a cluster, helm and kubectl, and `make test-k8s` asks for them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from bookwheel_testing.kubernetes_suite import KubernetesSuite
from bookwheel_testing.suite_under_test import free_port_base

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def cluster() -> None:
    """Skips where the tests were not asked for; fails where they were, and there is no cluster."""
    if not os.environ.get("BOOKWHEEL_TEST_KUBERNETES"):
        pytest.skip("tests of the Helm chart on a cluster run by `make test-k8s`")
    for program in ("kubectl", "helm"):
        assert shutil.which(program), f"{program} is missing"
    done = subprocess.run(["kubectl", "get", "--raw", "/readyz"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"no cluster answers: {done.stderr}"


@pytest.fixture(scope="session")
def suite(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesSuite]:
    """Installed, with the demo shop; further values of the cluster at hand are in the file BOOKWHEEL_TEST_VALUES."""
    more = os.environ.get("BOOKWHEEL_TEST_VALUES")
    suite = KubernetesSuite(
        state=tmp_path_factory.mktemp("kubernetes"),
        port_base=free_port_base(),
        books=1000,
        namespace=os.environ.get("BOOKWHEEL_TEST_NAMESPACE", "bookwheel-test"),
        values=[HERE / "values.yaml", *([Path(more)] if more else [])],
    )
    try:
        suite.up()
        yield suite
    finally:
        if os.environ.get("BOOKWHEEL_TEST_KEEP"):  # to look at what is left, or to go on with it
            suite.disconnect()
        else:
            suite.down()
